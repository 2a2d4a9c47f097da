"""What a benchmark measures, where it is more than one file: inputs, methods, processes."""

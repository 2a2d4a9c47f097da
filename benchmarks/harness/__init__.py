"""What every benchmark shares: a quiet machine, a watch, and the form of a result."""

"""Other tools, measured beside ours, each in a process of its own."""

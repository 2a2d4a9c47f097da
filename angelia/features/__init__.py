"""What is known about a user on a night: clean profile values and counts over the history, as pure functions on one shard's rows."""

"""How a job runs: its session, its command line, its inputs, and its shards on many cores."""

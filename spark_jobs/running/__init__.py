"""How a job runs: its session, command line and inputs, its shards on many cores."""

"""What jobs do to one shard or one day, as functions that travel to the workers."""

"""What `intake` measures: loads, kills, what is due, dispatching, how long messages wait."""

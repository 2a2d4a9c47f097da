"""What `intake` measures: loads, kills, what is due, dispatching, and how long messages wait."""

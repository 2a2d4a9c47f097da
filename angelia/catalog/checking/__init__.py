"""What valid documents can still get wrong: nothing to send, values without a meaning."""

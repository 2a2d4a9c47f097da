"""Several channels at once: their plan, a storm over one, what the others feel."""

"""Several channels at once: their plan, a storm over one of them, and what the others feel of it."""

"""Local provider endpoints with real wire shapes: what `angelia sandbox` runs. It verifies, answers, counts, and fails on request."""

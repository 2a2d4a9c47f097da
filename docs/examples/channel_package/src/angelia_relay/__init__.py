"""A channel for Angelia from a package of its own."""

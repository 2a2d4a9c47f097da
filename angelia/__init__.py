"""Angelia: offline personalization for push messages. See docs/architecture.md for the house and its
rooms."""

__version__ = "0.1.0"

"""Angelia: offline personalization for push messages.

docs/architecture.md describes the house and its rooms.
"""

__version__ = "0.1.0"

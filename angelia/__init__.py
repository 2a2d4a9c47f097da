"""Angelia: offline personalization for push messages.

docs/architecture.md describes the house and its rooms.
"""

__version__ = "0.2.0"

"""Local provider endpoints that speak the real wire formats and count what arrives.

They answer by scripted rules. Enter at `server.py`. Reads and writes nothing in the lake.
"""

"""Local provider endpoints that speak the real wire formats, count what arrives and answer by scripted rules.

Enter at `server.py`. Reads and writes nothing in the lake.
"""

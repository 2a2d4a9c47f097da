"""ASK: why a person got what they got, and what a night would have been with other limits.

Public face: `why` (why.py) and `what_if` (whatif.py), each a function that returns a record, for commands and
the console alike. Reads the commits that a plan cites, and works with the code that made it; writes nothing.
"""

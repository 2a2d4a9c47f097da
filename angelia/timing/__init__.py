"""WHEN: response curves over local hours, local time and quiet hours.

Pure functions on the arrays of one shard; reads and writes nothing. Public face: `curves.py` and
`local_time.py`. `evidence.py` counts, `habits.py` says when a person is active, `choosing.py` picks the
parameters of both, `category_hours.py` adds the hours of categories.
"""

"""WHO: SQL predicates over bitmaps, counted, explained and written as members.

Public face: `query.py` (one index, opened once, many predicates), `evaluate.py` (a night's audiences),
    `lists.py` (uploaded lists). Reads `bitmap_index`, `bitmap_days`, lists; writes `audience_members`.
"""

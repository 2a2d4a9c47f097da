"""WHO: SQL predicates over bitmaps, counted, explained and written as members.

Public face: `query.py` (one index, opened once, many predicates), `members.py` (a night's saved audiences),
`lists.py` (explicit lists). Reads `bitmap_index`, `bitmap_days`, lists; writes `audience_members`,
`user_lists`.
"""

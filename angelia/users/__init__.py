"""The people: ordinals and their chain, days, history, profiles, suppressions.

Public face: `index.py` (user to ordinal), `days.py`, `suppressions.py`. Reads the source datasets; writes
`user_index`.
"""

"""Who there is: the index of ordinals and its chain, days, history, profiles, suppressions.

Public face: `index.py` (user to ordinal), `days.py`, `suppressions.py`. Reads the source datasets; writes
    `user_index`.
"""

"""WHEN: response curves over local hours, local time and quiet hours, as pure functions on one shard.

Public face: `curves.py`, `local_time.py`; `evidence.py` turns pushes and activity into weights.
"""

"""People on the console: audiences counted from a resident index, and one person looked up.

Enter at `audiences.py`, `words.py` and `person.py`; `erasing.py` is the process that an erasure runs in.
Reads the bitmap index, the holdout, a night's plan and sources; writes suppressions and the audit trail.
"""

"""One part from claim to the last outcome: re-check, render, pace, send, settle.

Enter at `run.py`; `part.py` is one part, `batch.py` one batch of it, `sender.py` one request.
"""

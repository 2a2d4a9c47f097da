"""One run over a plan: choose the parts, claim each, send its batches, settle its end.

Enter at `run.py`; `choosing.py`, `part.py` and `settling.py` are its steps, `senders.py` opens channels.
One batch of a part is `sending/`'s. Reads what `manifest/` names, writes by `ledger/`.
"""

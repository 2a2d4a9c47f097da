"""What comes back by callback: signed HTTP, a journal, folding into receipts and opt-outs.

Enter at `server.py` and `folding.py`. Writes `receive/` journals, `push_receipts`, `suppressions`.
"""

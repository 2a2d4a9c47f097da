"""What comes back by callback: signature-checked HTTP, a journal, and its folding into receipts and suppressions.

Enter at `server.py` and `folding.py`. Writes `receive/` journals, `push_receipts`, `suppressions`.
"""

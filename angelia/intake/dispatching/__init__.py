"""Due messages of the intake go to the delivery worker, and their outcomes come back.

Enter at `dispatcher.py` (the loop). `batches.py` claims messages, `deciding.py` says who is sent what,
`handing.py` writes and seals the part files, `tracking.py` notes outcomes and receipts. Reads the newest
night's `user_features`, `user_endpoints`, catalog snapshot and ledgers; writes `dispatch_intake`. Surprise:
the worker is the only sender: whatever is sent has a claim, an intent and an outcome in the ledger.
"""

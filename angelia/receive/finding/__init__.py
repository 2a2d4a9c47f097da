"""Where an event's dispatch stands: an index on local disk, so no ledger is read twice.

Enter at `dispatches.py` (facts of dispatches) and `lists.py` (messages that name a list and a token);
`runs.py` is the index itself. Reads `delivery_ledger`, seals and manifests; writes `HOME/cache/dispatches`,
which may be deleted at any time.
"""

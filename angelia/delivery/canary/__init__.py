"""What came of a campaign's canary, and whether the rest of its people may be sent to.

Reads manifests, `delivery_ledger`, `push_receipts`, the catalog snapshot and the log `canary_choices`;
writes nothing. Enter at `gate.py` (the worker's guard) or `standing.py` (for pages and commands);
`verdict.py` is the rule alone.
"""

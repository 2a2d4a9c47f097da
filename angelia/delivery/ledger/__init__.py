"""What happened to every row: claims, intents, outcomes, and the tables made from them.

Enter at `ledger.py` (conditional creates) and `compaction.py` (outcomes into `delivery_ledger` and
`push_receipts`).
"""

"""Requests that come again: which idempotency keys an SQLite database has seen.

Enter at `used_keys.py`, which `store.py` asks within the transaction that keeps new messages. Reads and
writes `intake_key_runs`; on servers a unique index does the same, and these rows are not written.
"""

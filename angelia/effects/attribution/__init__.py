"""What each message is credited with, and every figure by every dimension.

Reads plans, ledgers, receipts and events; writes `effects_mart`. Enter at `mart.refresh` (make the mart of a
span of nights) and `reading.read_mart` (add its figures up).
"""

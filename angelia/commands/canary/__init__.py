"""`angelia catalog canary`: how a campaign's canary stands, and a person's decision on it.

Reads manifests, ledger, receipts and the night's catalog; writes the log canary_choices. Enter at
`decide.canary`.
"""

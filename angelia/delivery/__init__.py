"""DELIVER: manifests to providers, each row accounted for.

Enter at `worker/run.py` (one due part after the other). `manifest/` is what is to be sent, `sending/` one
batch on its way out, `ledger/` what happened, `channels/` what a provider wants; bytes travel by
`angelia.transport`. Reads `dispatch_manifest`, `stops`, `suppressions`; writes the ledger and
`push_receipts`.
"""

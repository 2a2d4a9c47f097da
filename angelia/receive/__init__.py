"""What comes back: signed callbacks, a journal, folding into receipts and opt-outs.

Enter at `api.py` (the ASGI application), `callbacks/` (providers' shapes and signatures) and `folding.py`.
Writes `received/` and `folded/` journals, `HOME/cache/dispatches`, `push_receipts`, `suppressions`.
"""

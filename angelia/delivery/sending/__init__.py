"""One batch of rows on their way out: re-check, render, pace, send, and take the answers.

Enter at `batch.py`; `clearance.py` decides when a row may leave, `sender.py` is one channel of a process.
Reads rows and stop lists, fills a batch's outcomes; claims, intents and commits are `worker/`'s.
"""

"""Messages that other systems ask for: a REST interface, durable before it answers.

Enter at `api.py` (the ASGI application), `writing.py` (group commit) and `store.py`. Reads and writes the
intake database (`ANGELIA_INTAKE`), nothing of the lake. Surprise: nothing here sends; `store.claim` is where
a dispatcher takes what is due.
"""

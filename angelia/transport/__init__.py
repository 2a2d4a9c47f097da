"""How bytes travel: HTTP/2 and HTTP/1.1, SMTP, and the guard against requests to private addresses.

Enter at `client.py`. Knows no channel and no ledger.
"""

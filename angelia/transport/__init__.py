"""How bytes travel: HTTP/2 and HTTP/1.1, SMTP, and the guard against private addresses.

Enter at `client.py`. Knows no channel and no ledger.
"""

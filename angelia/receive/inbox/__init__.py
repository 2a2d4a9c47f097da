"""In-app inbox: messages kept in the lake, served to signed-in apps, and marked.

Enter at `routes.py` and `store.py`. Reads and writes `inbox_messages`; marks are events of the journal.
"""

"""What signed-in apps ask and tell: their person's inbox, its marks, and beacons of pushes.

Enter at `routes.py`, `store.py` and `beacons.py`. Reads and writes `inbox_messages`; marks and beacons are
events of the journal.
"""

"""Reads from a database that follows the intake's own, beside which the leader writes.

Enter at `reads.py`. Reads the follower (`ANGELIA_INTAKE_FOLLOWER`), and the leader where the follower is
down or does not know a message yet; writes nothing.
"""

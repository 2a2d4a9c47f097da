"""`angelia timing`: a person's response curve, and where it comes from.

Reads send_times, user_features, user_days and user_pushes; writes nothing. Enter at `show.app`.
"""

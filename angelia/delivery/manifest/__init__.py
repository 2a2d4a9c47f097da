"""What is to be sent: manifest rows, the parts they stand in, the seal of an hour.

Enter at `parts.py`. Reads `dispatch_manifest`; writes `seals/`.
"""

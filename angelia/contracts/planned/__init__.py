"""Contracts of what a plan writes beside its decisions: the night's pairs by number.

Enter at `pairs.OF_PLANS`, which `contracts` takes over, and `pairs.number_pairs`. Reads and writes nothing.
"""

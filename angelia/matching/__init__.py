"""WHAT: experiments and holdouts, material draws with their exact propensity.

Public face: `buckets`, `assign_arms` (assign.py); `softmax_epsilon`, `draw` (draw.py). Pure functions on
    arrays of one shard.
"""

from angelia.matching.assign import assign_arms, buckets
from angelia.matching.draw import draw, softmax_epsilon

__all__ = ["assign_arms", "buckets", "draw", "softmax_epsilon"]

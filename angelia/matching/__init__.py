"""WHAT: experiments and holdouts, material draws with their exact propensity.

Public face: `buckets`, `assign_arms` (assign.py); `in_canary` (canary.py); `draw`, `inverse_gap` (draw.py).
    Pure functions on arrays of one shard.
"""

from angelia.matching.assign import assign_arms, buckets
from angelia.matching.canary import in_canary
from angelia.matching.draw import draw, inverse_gap

__all__ = ["assign_arms", "buckets", "draw", "in_canary", "inverse_gap"]

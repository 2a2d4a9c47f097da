"""The exploration stratum: people whose slot is drawn, so that hours can be learned.

Reads a shard's problem as arrays, writes nothing. Enter at `draw_slots` (who gets what, when, and with what
propensity) and `thin_drawn` (what fits the reserved capacity), both in stratum.py.
"""

from angelia.planning.exploring.stratum import draw_slots, thin_drawn

__all__ = ["draw_slots", "thin_drawn"]

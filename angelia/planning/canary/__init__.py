"""Which hours a campaign's canary has, and which the rest of its people have after it.

Reads hours and hashes as arrays, writes nothing. Enter at `canary_hours` (hours.py); what came of a canary is
judged by the worker (`angelia.delivery.canary`).
"""

from angelia.planning.canary.hours import canary_hours

__all__ = ["canary_hours"]

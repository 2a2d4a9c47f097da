"""A night split for a canary: its people have the first hours, the others the rest.

Grain: user x slot. Pure. Surprise: the hours are counted on each person's own clock, from the first hour in
which the campaign may send there: a person waits for the canary of their own part of the world.
"""

from __future__ import annotations

import numpy as np

from angelia.contracts.ids import U64
from angelia.matching import in_canary
from angelia.planning.problem import I64, Bools
from angelia.planning.terms import CampaignTerms


def canary_hours(campaign: CampaignTerms, ds: str, keys: U64, by_clock: Bools, clock: I64) -> Bools:
    """Return the slots each person may have for the canary's sake, (n, h).

    Args:
        campaign: one that has a canary; the others' people may have every slot.
        ds: the night.
        keys: people's keys, (n,).
        by_clock: slots in which the campaign may send, by clock, (g, h).
        clock: each person's clock, (n,).
    """
    slot = np.arange(by_clock.shape[1])
    if campaign.canary is None:
        return np.ones((len(keys), len(slot)), bool)
    share, hours = campaign.canary
    first = np.argmax(by_clock, axis=1)  # 0 where nothing is open: nothing is allowed there anyway
    is_early = slot[None, :] < (first + hours)[:, None]
    return np.asarray(is_early[clock] == in_canary(keys, campaign.id, ds, share)[:, None])

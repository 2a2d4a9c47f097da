"""A night's price of fatigue: its parts put together as the policy asks.

Grain: pair (user x campaign). Reads nothing, writes nothing. Surprise: where refusals have a price, a person
who could not bear a second message keeps room for one only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from angelia.planning.later.fatigue import F64, I64, Fatigue, LaterCosts, later_costs
from angelia.planning.later.refusals import bears_two, look_costs
from angelia.planning.later.steering import steered
from angelia.planning.terms import Terms


@dataclass(frozen=True)
class PricedPairs:
    """What the price of fatigue must know of each pair.

    Attributes:
        user: ascending, (m,). campaign: its number, (m,).
        offered: worth in each slot before costs, 0 where the message may not go, (m, h).
        at_mean: worth at a mean hour, (m,). weight: worth of an open, (m,); both in micro-units.
        is_exempt: transactional, (m,).
    """

    user: I64
    campaign: I64
    offered: F64
    at_mean: F64
    weight: F64
    is_exempt: npt.NDArray[np.bool_]


def price_later(
    terms: Terms,
    fatigue: Fatigue,
    pairs: PricedPairs,
    past_user: I64,
    past_hours: F64,
    room: npt.NDArray[np.int16],
    curve: F64,
) -> tuple[LaterCosts, npt.NDArray[np.int16]]:
    """Return what a message of each pair costs later, and the room that leaves people, (n, h).

    Args:
        terms: of the night.
        fatigue: what was learned.
        pairs: the shard's.
        past_user: of each marketing message that was sent or is pending, (p,).
        past_hours: when, relative to the plan's start, (p,).
        room: marketing messages that caps leave a user at each slot, (n, h).
        curve: the person's response in each slot, (m, h); read only if the policy prices looks.
    """
    # A transactional message is owed whatever it costs later, and stands for no later one.
    bears, pays = ~pairs.is_exempt, np.where(pairs.is_exempt, 0.0, pairs.weight)
    costs = later_costs(
        fatigue,
        pairs.offered,
        pairs.at_mean,
        bears,
        pairs.user,
        [terms.campaigns[k].topic for k in pairs.campaign.tolist()],
        past_user,
        past_hours,
        n_users=len(room),
        weight=terms.fatigue_weight,
        horizon_days=terms.lost_days,
    )
    if terms.refusal_opens:
        costs = replace(costs, by_hour=look_costs(costs.chance, pays * terms.refusal_opens, curve))
        two = bears_two(fatigue, costs, pairs.offered, bears, pairs.user, len(room))
        # A campaign with a minimum is paid to send: whom it wants keeps room for both.
        asks = np.array([campaign.min_messages > 0 for campaign in terms.campaigns], bool)
        two[pairs.user[asks[pairs.campaign]]] = True
        room = np.where(two[:, None], room, np.minimum(room, 1))
    if terms.refusals_at_most is not None:
        costs = steered(costs, fatigue, terms.refusal_price, pays, pairs.offered, curve)
    return costs, room

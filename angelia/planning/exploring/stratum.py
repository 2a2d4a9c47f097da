"""Draw the slots of the exploration stratum, and drop what its reserve cannot take.

Grain: pair (user x campaign). Pure. Surprise: neither the drawn slot nor what is dropped depends on a score,
so that opens by hour are evidence for everybody's curves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from angelia.contracts.ids import uniform
from angelia.planning.eligibility import F64, OPEN, ShardPeople
from angelia.planning.problem import I64, Bools, Choice, Limits, Problem, boosted, of_each
from angelia.planning.routes import affordable, draw_channels
from angelia.planning.terms import Terms


def draw_slots(
    terms: Terms,
    people: ShardPeople,
    problem: Problem,
    outcome: npt.NDArray[np.object_],
    p_open: F64,
    lift: F64 | None = None,
) -> tuple[Choice, F64]:
    """Return the exploration stratum's messages and their slot propensity, (m,).

    The campaign goes by score alone, the slot uniformly among the open ones. No hour enters the
    choice of the campaign, so the slot says nothing about the person: unbiased evidence for the curves.
    """
    choice = Choice.none(problem.n_pairs)
    propensity = np.full(problem.n_pairs, np.nan)
    open_slots = problem.allowed & (problem.room[problem.pair_user] >= 1)
    rows = np.flatnonzero(problem.is_explore & (outcome == OPEN) & open_slots.any(axis=1))
    if not len(rows):
        return choice, propensity
    values = np.array([c.value_micros for c in terms.campaigns], np.float64)
    worth = values[problem.pair_campaign[rows]] * p_open[rows] + (0.0 if lift is None else lift[rows])
    living = affordable(terms, problem, rows, worth)
    pays = living.any(axis=1)
    rows, worth, living = rows[pays], worth[pays], living[pays]
    order = np.lexsort((problem.tie[rows], -worth, problem.pair_user[rows]))
    # Sorted by person and falling worth, so the first row of each is their best campaign.
    order = order[np.unique(problem.pair_user[rows[order]], return_index=True)[1]]
    rows, living = rows[order], living[order]
    count = open_slots[rows].sum(axis=1)
    wanted = np.floor(
        uniform(people.keys[problem.pair_user[rows]], terms.salt, "slot draw", terms.ds) * count
    ).astype(np.int64)
    slot = (np.cumsum(open_slots[rows], axis=1) <= wanted[:, None]).sum(axis=1)
    channel = np.argmax(living, axis=1)
    value, boost = problem.value[rows, slot], terms.boost()
    if boost.size:
        channel = draw_channels(terms, problem, rows, living, people.keys[problem.pair_user[rows]], channel)
        value = boosted(value, boost[problem.pair_campaign[rows], channel])
    cost = np.array([c.cost_micros for c in terms.channels], np.int64)
    choice.slot[rows], choice.channel[rows] = slot, channel
    choice.bid[rows] = value - cost[channel]
    propensity[rows] = 1.0 / count
    return choice, propensity


def thin_drawn(
    problem: Problem, limits: Limits, drawn: Choice, demand: I64, reserve: I64
) -> tuple[Choice, Bools]:
    """Return the drawn messages that fit the reserve, and which were dropped, (m,).

    They are dropped at a rate that no score enters.
    """
    rows = np.flatnonzero(drawn.slot >= 0)
    rate = np.minimum(1.0, reserve / np.maximum(demand, 1))
    # Three standard deviations below the reserve, since dropping is by hash and only right on average.
    rate = np.where(
        rate < 1.0, np.maximum(0.0, (reserve - 3.0 * np.sqrt(reserve)) / np.maximum(demand, 1)), 1.0
    )
    lot = (problem.tie[rows] >> np.uint64(11)).astype(np.float64) * 2.0**-53
    gone = rows[lot >= of_each(problem.constraints(drawn, rows, limits), rate, nothing=1).min(axis=0)]
    dropped = np.zeros(problem.n_pairs, bool)
    dropped[gone] = True
    return Choice(
        np.where(dropped, -1, drawn.slot),
        np.where(dropped, -1, drawn.channel),
        np.where(dropped, 0, drawn.bid),
    ), dropped

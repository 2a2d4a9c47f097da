"""What later nights promise a campaign's candidates: clocks, hours, last night of waiting.

Grain: candidate of one campaign. Reads nothing, writes nothing. Not a part of the room's public face, since
it stands on `planning.eligibility`, which that face serves: import it from here.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from angelia.contracts.ids import U64, uniform
from angelia.planning.eligibility import ShardPeople, campaign_hours, clock_hours
from angelia.planning.postponing.later import (
    F64,
    NIGHTS_AHEAD,
    MaterialRows,
    Prospect,
    Stretch,
    prospect,
    stretches,
)
from angelia.planning.problem import I64
from angelia.planning.terms import CampaignTerms, Terms
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import LocalHours
from angelia.timing.own_hours import Span, quiet_slots


class ClockGroup(NamedTuple):
    """People with the same open hours: their clock's row, and quiet hours of their own."""

    clock: int
    span: Span | None


def prospects(
    terms: Terms,
    people: ShardPeople,
    campaign: CampaignTerms,
    user: I64,
    p_open: F64,
    materials: MaterialRows,
    hours: CategoryHours,
) -> Prospect | None:
    """Return what a campaign's message would be opened with tonight and on later nights.

    Args:
        terms: of the night.
        people: of the shard.
        campaign: whose messages may wait, or not.
        user: row of each candidate, (m,).
        p_open: score by material, NaN = may not, (m, k).
        materials: the campaign's materials.
        hours: what categories do by hour and weekday.

    Returns:
        None if the campaign's messages do not wait.
    """
    if not campaign.later_nights:
        return None
    groups, group = _groups(people, user)
    # Nights on which the occurrence has ended promise nothing, and are not looked at.
    nights: list[list[list[Stretch]]] = [
        _open_hours(terms, people, campaign, number, groups)
        if number in (0, *campaign.later_nights)
        else [[] for _ in groups]
        for number in range(NIGHTS_AHEAD + 1)
    ]
    ahead = prospect(nights, group, people.curves[user], p_open, materials, hours)
    if not campaign.wait_cycle:
        return ahead
    left = nights_left(terms, campaign, people.keys[user])
    within = np.arange(1, NIGHTS_AHEAD + 1) <= left[:, None]
    return replace(ahead, later=np.where(within, ahead.later, 0.0))


def nights_left(terms: Terms, campaign: CampaignTerms, keys: U64) -> I64:
    """Return in how many nights each person's wait ends, (m,).

    An occurrence that ends bounds a wait by itself. Of a daily campaign each person has a last night in turn,
    so that nobody waits for ever for what always seems better.
    """
    phase = np.floor(uniform(keys, campaign.id, "last night") * campaign.wait_cycle).astype(np.int64)
    today = (terms.start.date() - date(1970, 1, 1)).days
    return np.asarray((phase - today) % campaign.wait_cycle)


def _groups(people: ShardPeople, user: I64) -> tuple[list[ClockGroup], I64]:
    """Return the groups of people with the same open hours, and each candidate's number, (m,).

    Whoever keeps quiet hours of their own is in a group with those of the same clock who keep the same.
    """
    clocks, clock = people.clocks
    group, groups = clock[user], [ClockGroup(row, None) for row in range(len(clocks))]
    if people.own_quiet:
        own = np.flatnonzero(np.isin(user, list(people.own_quiet)))
        named = [ClockGroup(int(clock[row]), people.own_quiet[row]) for row in user[own].tolist()]
        number = {each: len(clocks) + i for i, each in enumerate(dict.fromkeys(named))}
        group = group.copy()
        group[own] = [number[each] for each in named]
        groups = [*groups, *number]
    return groups, group


def _open_hours(
    terms: Terms, people: ShardPeople, campaign: CampaignTerms, number: int, groups: list[ClockGroup]
) -> list[list[Stretch]]:
    """Return the hours that a campaign has open to each group, so many nights from now."""
    then = terms
    if number:  # hours that have passed tonight have not on later nights
        then = replace(terms, start=terms.start + timedelta(days=number), first_slot=0)
    (local, quiet, off), _ = clock_hours(then, people)
    may = campaign_hours(then, campaign, local) & ~quiet
    each = []
    for row, span in groups:
        is_open, clock = may[row], slice(row, row + 1)
        if span is not None:
            own = quiet_slots(terms.quiet, {0: span}, local.hour[clock], local.is_broken[clock])
            is_open = is_open & ~own[0]
        hours = LocalHours(*(column[row] for column in vars(local).values()))
        each.append(stretches(hours, off[row], is_open))
    return each

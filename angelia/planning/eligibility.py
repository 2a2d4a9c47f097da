"""From a night's terms and one shard's people to a `Problem`: who, which hours, what worth.

Grain: user x campaign pairs of one shard. Reads nothing, writes nothing. Every pair that an audience names
    gets an outcome word, so that nobody disappears without a reason; pairs that remain `open` are decided by
    `decide`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from angelia.contracts import outcomes
from angelia.contracts.ids import U64, message_id, mix, uniform
from angelia.matching import assign_arms, buckets
from angelia.planning.before import DeviceRoom, Past, already_sent, lower_for_vendors, room_for, too_near
from angelia.planning.canary import canary_hours
from angelia.planning.later import Fatigue, LaterCosts, bears_two, later_costs, look_costs, steered
from angelia.planning.problem import I64, Bools, Choice, Limits, Problem, boosted, of_each
from angelia.planning.routes import affordable, draw_channels
from angelia.planning.terms import CampaignTerms, Terms
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import (
    Dates,
    LocalHours,
    has_broken_hours,
    in_hours,
    in_quiet,
    is_day_off,
    local_grid,
    unique_clocks,
    within_days,
)
from angelia.timing.own_hours import Span, quiet_slots

F64 = npt.NDArray[np.float64]
OPEN = "open"


@dataclass(frozen=True)
class ShardPeople:
    """One shard's users; lists and arrays have length n and the same order.

    `workday` and `day_off` are the response curves over local hours, (n, 24); `channels` says which of the
    night's channels reach a user, (n, c).
    """

    ordinal: npt.NDArray[np.uint32]
    user_id: list[str]
    keys: U64
    timezone: list[str]
    country: list[str | None]
    locale: list[str | None]
    vendor: list[str | None]
    channels: Bools
    opted_out: list[frozenset[str]]
    is_suppressed: Bools
    workday: F64
    day_off: F64
    own_quiet: Mapping[int, Span] = field(default_factory=dict)  # row -> quiet hours of their own

    @cached_property
    def curves(self) -> F64:
        """The response curves by cell, (n, 48): a workday's hours, then a day off's."""
        return np.hstack([self.workday, self.day_off])

    @cached_property
    def clocks(self) -> tuple[list[tuple[str, str | None]], I64]:
        """The different timezones with countries, and each person's among them, (n,)."""
        return unique_clocks(self.timezone, self.country)


@dataclass(frozen=True)
class Pairs:
    """User x campaign pairs in user order, with the drawn material's score and category.

    `hours` is how much better each category is opened at a time than at a mean one; `category` is the row of
    the drawn material. `fatigue` is what was learned of it; None = nothing. `lift` is what a message at a
    mean hour changes, in micro-units; None = no campaign asks. `days` are the drawn material's first and last
    local day, (m, 2); None = no material has any.
    """

    user: I64
    campaign: I64
    p_open: F64
    has_material: Bools
    category: I64
    hours: CategoryHours
    fatigue: Fatigue | None = None
    lift: F64 | None = None
    days: Dates | None = None


@dataclass(frozen=True)
class BuiltShard:
    """A shard's problem, each pair's outcome and arm, and what its message costs later."""

    problem: Problem
    outcome: npt.NDArray[np.object_]
    arm: npt.NDArray[np.object_]
    later: LaterCosts | None


NightHours = tuple[LocalHours, Bools, Bools]


def open_hours(terms: Terms, people: ShardPeople) -> NightHours:
    """Return each user's slots in local time, which are quiet, and which on a day off.

    All (n, h).
    """
    (local, quiet, off), clock = clock_hours(terms, people)
    mine = LocalHours(local.hour[clock], local.date[clock], local.weekday[clock], local.is_repeat[clock])
    return mine, quiet[clock], off[clock]


def clock_hours(terms: Terms, people: ShardPeople) -> tuple[NightHours, I64]:
    """Return what `open_hours` does by clock, (g, h), and each user's clock, (n,)."""
    clocks, clock = people.clocks
    zones = [zone for zone, _ in clocks]
    local = local_grid(zones, terms.slots())
    quiet = np.zeros(local.hour.shape, bool)
    if terms.quiet is not None:
        quiet = in_quiet(local.hour, *terms.quiet)
        # In half-hour zones a UTC hour ends in the next local hour: both must be awake.
        broken = has_broken_hours(zones, terms.start)[:, None]
        quiet |= broken & in_quiet((local.hour + 1) % 24, *terms.quiet)
    return (local, quiet, is_day_off(local.date, [country for _, country in clocks])), clock


def cells(local: LocalHours, off: Bools) -> I64:
    """Return the cell of the response curves that each user's slots fall in, (n, h).

    A cell is the local hour, 24 more on a day off.
    """
    return np.asarray(local.hour.astype(np.int64) + 24 * off)


def slot_chance(
    people: ShardPeople, pairs: Pairs, local: LocalHours, off: Bools, clock: I64 | None = None
) -> F64:
    """Return the probability that a message of each pair is opened, by slot, (m, h).

    `local` and `off` are by person, or by clock where `clock` names each person's, (n,).
    """
    curve, factor = slot_response(people, pairs, local, off, clock)
    return np.clip(pairs.p_open[:, None] * curve * factor, 0.0, 1.0)


def slot_response(
    people: ShardPeople, pairs: Pairs, local: LocalHours, off: Bools, clock: I64 | None = None
) -> tuple[F64, F64]:
    """Return the person's and the category's response by slot, a mean hour's = 1, both (m, h)."""
    cell, weekday = cells(local, off), local.weekday.astype(np.int64)
    own = pairs.user if clock is None else clock[pairs.user]
    curve = people.curves[pairs.user[:, None], cell[own]]
    return curve, pairs.hours.of_clocks(pairs.category, own, cell, weekday)


def build(
    terms: Terms,
    people: ShardPeople,
    pairs: Pairs,
    past: Past,
    chance: F64 | None = None,
    ids: Sequence[str] | None = None,
) -> tuple[Problem, npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Return the shard's problem, each pair's outcome so far, and each pair's arm.

    The outcome is `open` where it is still to be decided. `chance` stands in for `slot_chance`, (m, h); `ids`
    are the pairs' message ids, if known.
    """
    built = assemble(terms, people, pairs, past, chance, ids)
    return built.problem, built.outcome, built.arm


def assemble(
    terms: Terms,
    people: ShardPeople,
    pairs: Pairs,
    past: Past,
    chance: F64 | None = None,
    ids: Sequence[str] | None = None,
) -> BuiltShard:
    """Return what `build` does, and what a message of each pair costs later."""
    n, m, h = len(people.user_id), len(pairs.user), terms.n_slots
    ids = message_ids(terms, people, pairs) if ids is None else ids
    # Numbers, since comparing texts of millions of pairs a dozen times takes longer than all else.
    reached, names = np.zeros(m, np.int8), [OPEN]
    arm = np.full(m, None, object)
    (local, quiet, off), clock = clock_hours(terms, people)
    number = {campaign.id: k for k, campaign in enumerate(terms.campaigns)}
    past_campaign = np.array([number.get(name, -1) for name in past.campaign], np.int64)
    past_ids = np.array(past.message_id, object)
    marketing = ~np.isin(past_campaign, [k for k, c in enumerate(terms.campaigns) if c.is_exempt])
    room = room_for(terms.caps, past, n, h, marketing)
    lower_for_vendors(terms.channels, people.vendor, past, marketing, room)
    devices = DeviceRoom.of(terms, past, n)
    room = devices.bound(room, terms.campaigns, people.channels)
    blocked = too_near(past, marketing, n, h, terms.gap_hours)
    if people.own_quiet:
        is_broken = has_broken_hours(people.timezone, terms.start)
        blocked |= quiet_slots(terms.quiet, people.own_quiet, local.hour[clock], is_broken)
    global_out = buckets(people.keys, terms.holdout_salt) < terms.holdout_pct

    allowed, channels = np.zeros((m, h), bool), np.zeros((m, len(terms.channels)), bool)
    exempt, weight = np.zeros(m, bool), np.zeros(m, np.float64)
    weights = dict(terms.priority_weight)
    for k, campaign in enumerate(terms.campaigns):
        rows = np.flatnonzero(pairs.campaign == k)
        users = pairs.user[rows]
        exempt[rows] = campaign.is_exempt
        weight[rows] = weights[campaign.priority] * campaign.value_micros
        named = np.array([channel.id in campaign.channels for channel in terms.channels])
        reach = people.channels[users] & named
        channels[rows], free = devices.within(campaign.wire_class, users, reach)
        if campaign.arms:
            arm_number = assign_arms(people.keys[users], campaign.salt, [a.share_pct for a in campaign.arms])
            arm[rows] = np.array([a.name for a in campaign.arms], object)[arm_number]
        by_clock = campaign_hours(terms, campaign, local)
        if not campaign.is_exempt:
            by_clock = by_clock & ~quiet
        hours = by_clock[clock[users]] & free
        if not campaign.is_exempt:
            hours &= ~blocked[users]
        if pairs.days is not None:
            hours &= within_days(local.date[clock[users]], pairs.days[rows])
        had_hours = hours.any(axis=1)
        if campaign.canary is not None:
            hours &= canary_hours(campaign, terms.ds, people.keys[users], by_clock, clock[users])
        own = past_campaign == k
        never = np.zeros((len(rows), h), bool)
        capped = (room_for(campaign.caps, past, n, h, own) < 1)[users] if campaign.caps else never
        no_room = never if campaign.is_exempt else (room < 1)[users]
        sent = already_sent([ids[row] for row in rows.tolist()], users, past.user[own], past_ids[own])
        held_out = buckets(people.keys[users], f"holdout {campaign.id}") < campaign.holdout_pct
        reasons = [
            (outcomes.SUPPRESSED, people.is_suppressed[users]),
            (
                outcomes.OPTED_OUT,
                np.array([campaign.topic in people.opted_out[u] for u in users], bool)
                & (not campaign.is_exempt),
            ),
            (outcomes.UNREACHABLE, ~reach.any(axis=1)),
            (outcomes.HOLDOUT_GLOBAL, global_out[users] & (not campaign.is_exempt)),
            (outcomes.HOLDOUT_CAMPAIGN, held_out & (not campaign.is_exempt)),
            (outcomes.ALREADY_INTENDED, sent),
            (outcomes.DEVICE_QUOTA, ~channels[rows].any(axis=1)),
            (outcomes.CAPPED, (capped | no_room).all(axis=1)),
            (outcomes.NO_MATERIAL, ~pairs.has_material[rows]),
            # Before `no_slot`, which an hour that the canary took would be counted as.
            (outcomes.AFTER_CANARY, had_hours & ~hours.any(axis=1)),
            (outcomes.NO_SLOT, ~(hours & ~capped).any(axis=1)),
            (outcomes.CAPPED, ~(hours & ~capped & ~no_room).any(axis=1)),
        ]
        for name, hit in reasons:
            if name not in names:
                names.append(name)
            fresh = (reached[rows] == 0) & hit
            reached[rows[fresh]] = names.index(name)
        allowed[rows] = hours & ~capped
    allowed &= (reached == 0)[:, None]
    if chance is None:
        chance = slot_chance(people, pairs, local, off, clock)
    worth, at_mean = weight[:, None] * chance, weight * pairs.p_open
    if pairs.lift is not None:
        # What nobody looks at changes nobody: lift goes with the hour as opens do.
        lift = pairs.lift * np.array([weights[c.priority] for c in terms.campaigns])[pairs.campaign]
        looks, factor = slot_response(people, pairs, local, off, clock)
        worth += lift[:, None] * looks * factor
        at_mean = at_mean + lift
    later = None
    if pairs.fatigue is not None and terms.prices_fatigue:
        offered, pays = np.where(allowed, worth, 0.0), np.where(exempt, 0.0, weight)
        # A transactional message is owed whatever it costs later, and stands for no later one.
        later = later_costs(
            pairs.fatigue, offered, at_mean, ~exempt, pairs.user,
            [terms.campaigns[k].topic for k in pairs.campaign.tolist()], past.user[marketing],
            past.hours[marketing], n_users=n, weight=terms.fatigue_weight, horizon_days=terms.lost_days,
        )  # fmt: skip
        curve = slot_response(people, pairs, local, off, clock)[0] if terms.prices_looks else np.zeros(0)
        if terms.refusal_opens:
            later = replace(later, by_hour=look_costs(later.chance, pays * terms.refusal_opens, curve))
            two = bears_two(pairs.fatigue, later, offered, ~exempt, pairs.user, n)
            # A campaign with a minimum is paid to send: whom it wants keeps room for both.
            asks = np.array([campaign.min_messages > 0 for campaign in terms.campaigns], bool)
            two[pairs.user[asks[pairs.campaign]]] = True
            room = np.where(two[:, None], room, np.minimum(room, 1))
        if terms.refusals_at_most is not None:
            later = steered(later, pairs.fatigue, terms.refusal_price, pays, offered, curve)
    in_stratum = uniform(people.keys, terms.salt, "slot stratum", terms.ds) < terms.explore_pct / 100.0
    problem = Problem(
        n_users=n,
        pair_user=pairs.user,
        pair_campaign=pairs.campaign,
        value=np.rint(worth if later is None else later.net(worth)).astype(np.int64),
        allowed=allowed,
        channels=channels,
        is_exempt=exempt,
        is_explore=~exempt & in_stratum[pairs.user],
        room=np.maximum(room, 0),
        tie=_ties(terms, people, pairs),
    )
    return BuiltShard(problem, np.array(names, object)[reached], arm, later)


def message_ids(terms: Terms, people: ShardPeople, pairs: Pairs) -> list[str]:
    """Return each pair's once-only key, (m,)."""
    known = [(campaign.id, campaign.occurrence) for campaign in terms.campaigns]
    each = zip(pairs.user.tolist(), pairs.campaign.tolist(), strict=True)
    return [message_id(known[k][0], people.user_id[u], known[k][1]) for u, k in each]


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
    return drawn.where(~dropped), dropped


def campaign_hours(terms: Terms, campaign: CampaignTerms, local: LocalHours) -> Bools:
    """Return which slots a campaign may use by every user's own clock, (n, h)."""
    days = local.date >= np.datetime64(campaign.start_date)
    days &= local.date <= np.datetime64(campaign.end_date)
    if campaign.weekdays:
        days = days & np.isin(local.weekday, list(campaign.weekdays))
    if campaign.send_window is not None:
        days = days & in_hours(local.hour, *campaign.send_window)
    days[:, : terms.first_slot] = False
    return np.asarray(days)


def _ties(terms: Terms, people: ShardPeople, pairs: Pairs) -> npt.NDArray[np.uint64]:
    ties = np.zeros(len(pairs.user), np.uint64)
    for k, campaign in enumerate(terms.campaigns):
        rows = pairs.campaign == k
        ties[rows] = mix(people.keys[pairs.user[rows]], terms.salt, "tie", campaign.id, campaign.occurrence)
    return ties

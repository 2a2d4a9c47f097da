"""From a night's terms and one shard's people to a `Problem`: who, which hours, what worth.

Grain: user x campaign pairs of one shard. Reads nothing, writes nothing. Every pair that an audience names
    gets an outcome word, so that nobody disappears without a reason; `decide` decides those that stay `open`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.contracts import outcomes
from angelia.contracts.ids import U64, message_id, mix, uniform
from angelia.matching import assign_arms, buckets
from angelia.planning.before import (
    DeviceRoom,
    Past,
    Room,
    already_sent,
    lower_for_vendors,
    room_for,
    too_near,
)
from angelia.planning.canary import canary_hours
from angelia.planning.later import Fatigue, LaterCosts, PricedPairs, price_later
from angelia.planning.postponing import Postponable, best_nights
from angelia.planning.problem import I64, Bools, Problem
from angelia.planning.terms import CampaignTerms, Terms
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import (
    Dates,
    LocalHours,
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
    local day, (m, 2); None = no material has any. `later` is the chance of an open on each later night, (m,
    NIGHTS_AHEAD), 0 where it cannot go then; None = no campaign's messages wait.
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
    later: F64 | None = None


@dataclass(frozen=True)
class BuiltShard:
    """A shard's problem, each pair's outcome and arm, and what its message costs later.

    `nights`: how long each message waits, (m,); None = none does. `allowed`: the problem's as if none did.
    """

    problem: Problem
    outcome: npt.NDArray[np.object_]
    arm: npt.NDArray[np.object_]
    later: LaterCosts | None
    allowed: Bools
    nights: I64 | None = None


NightHours = tuple[LocalHours, Bools, Bools]


def open_hours(terms: Terms, people: ShardPeople) -> NightHours:
    """Return each user's slots in local time, which are quiet, and which on a day off.

    All (n, h).
    """
    (local, quiet, off), clock = clock_hours(terms, people)
    mine = LocalHours(*(column[clock] for column in vars(local).values()))
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
        quiet |= local.is_broken & in_quiet((local.hour + 1) % 24, *terms.quiet)
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
    m = len(pairs.user)
    ids = message_ids(terms, people, pairs) if ids is None else ids
    tonight = _Tonight.of(terms, people, past)
    outcome, arm = np.full(m, OPEN, object), np.full(m, None, object)
    allowed, channels = np.zeros((m, terms.n_slots), bool), np.zeros((m, len(terms.channels)), bool)
    for k, campaign in enumerate(terms.campaigns):
        rows = np.flatnonzero(pairs.campaign == k)
        users = pairs.user[rows]
        if campaign.arms:
            number = assign_arms(people.keys[users], campaign.salt, [a.share_pct for a in campaign.arms])
            arm[rows] = np.array([a.name for a in campaign.arms], object)[number]
        # Reasons are found by campaign, since windows, caps and channels differ between campaigns.
        own_ids = [ids[row] for row in rows.tolist()]
        outcome[rows], channels[rows], allowed[rows] = _admit(
            terms, people, tonight, k, users, own_ids, pairs.has_material[rows],
            None if pairs.days is None else pairs.days[rows],
        )  # fmt: skip
    exempt = np.array([campaign.is_exempt for campaign in terms.campaigns], bool)[pairs.campaign]
    response = partial(slot_response, people, pairs, tonight.local, tonight.off, tonight.clock)
    if chance is None:
        chance = slot_chance(people, pairs, tonight.local, tonight.off, tonight.clock)
    weights = dict(terms.priority_weight)
    values = [weights[campaign.priority] * campaign.value_micros for campaign in terms.campaigns]
    weight = np.array(values, np.float64)[pairs.campaign]
    worth, at_mean = _worth(terms, pairs, weight, chance, response)
    later, room = None, tonight.room
    if pairs.fatigue is not None and terms.prices_fatigue:
        later, room = price_later(
            terms, pairs.fatigue,
            PricedPairs(pairs.user, pairs.campaign, np.where(allowed, worth, 0.0), at_mean, weight, exempt),
            past.user[tonight.is_marketing], past.hours[tonight.is_marketing], room,
            response()[0] if terms.prices_looks else np.zeros(0),
        )  # fmt: skip
    in_stratum = uniform(people.keys, terms.salt, "slot stratum", terms.ds) < terms.explore_pct / 100.0
    is_explore, open_to = ~exempt & in_stratum[pairs.user], allowed
    nights = None
    if pairs.later is not None:
        # What is drawn to learn from keeps to its night; what is owed does not wait.
        may = allowed & ~(exempt | is_explore)[:, None]
        now, best = (np.where(may, each, 0.0).max(axis=1) for each in (chance, worth))
        nightly = np.array([one.is_nightly for one in terms.campaigns], bool)[pairs.campaign]
        pays = Postponable.of(pairs.user, best, now, pairs.later, nightly)
        nights = best_nights(pays, later, pairs.fatigue, terms.limits().max_messages)
        outcome[nights > 0] = outcomes.BETTER_NIGHT
        allowed = allowed & (nights == 0)[:, None]
    problem = Problem(
        n_users=len(people.user_id),
        pair_user=pairs.user, pair_campaign=pairs.campaign,
        value=np.rint(worth if later is None else later.net(worth)).astype(np.int64),
        allowed=allowed, channels=channels, is_exempt=exempt, is_explore=is_explore,
        room=np.maximum(room, 0), tie=_ties(terms, people, pairs),
    )  # fmt: skip
    return BuiltShard(problem, outcome, arm, later, open_to, nights)


@dataclass(frozen=True)
class _Tonight:
    """What every campaign of a shard meets: people's clocks, past messages, the holdout.

    `local`, `quiet` and `off` are by clock, (g, h). `blocked`: too near to an earlier message, or in quiet
    hours of the person's own, (n, h). `past_campaign` and `is_marketing` are of each earlier message, (p,).
    """

    local: LocalHours
    quiet: Bools
    off: Bools
    clock: I64
    past: Past
    past_campaign: I64
    is_marketing: Bools
    room: Room
    devices: DeviceRoom
    blocked: Bools
    is_held_out: Bools

    @classmethod
    def of(cls, terms: Terms, people: ShardPeople, past: Past) -> _Tonight:
        n, h = len(people.user_id), terms.n_slots
        (local, quiet, off), clock = clock_hours(terms, people)
        past_campaign = past.numbers([campaign.id for campaign in terms.campaigns])
        marketing = ~np.isin(past_campaign, [k for k, c in enumerate(terms.campaigns) if c.is_exempt])
        room = room_for(terms.caps, past, n, h, marketing)
        lower_for_vendors(terms.channels, people.vendor, past, marketing, room)
        devices = DeviceRoom.of(terms, past, n)
        blocked = too_near(past, marketing, n, h, terms.gap_hours)
        if people.own_quiet:
            hour, is_broken = local.hour[clock], local.is_broken[clock]
            blocked |= quiet_slots(terms.quiet, people.own_quiet, hour, is_broken)
        return cls(
            local, quiet, off, clock, past, past_campaign, marketing,
            room=devices.bound(room, terms.campaigns, people.channels),
            devices=devices,
            blocked=blocked,
            is_held_out=buckets(people.keys, terms.holdout_salt) < terms.holdout_pct,
        )  # fmt: skip


def _admit(
    terms: Terms,
    people: ShardPeople,
    tonight: _Tonight,
    k: int,
    users: I64,
    ids: Sequence[str],
    has_material: Bools,
    days: Dates | None,
) -> tuple[npt.NDArray[np.object_], Bools, Bools]:
    """Return a campaign's pairs: outcome so far, (r,), channels, (r, c), hours, (r, h).

    A pair whose outcome is not `open` has no hours.
    """
    campaign, keys, own = terms.campaigns[k], people.keys[users], tonight.past_campaign == k
    is_bound = not campaign.is_exempt  # a transactional message is owed, whatever the rules of marketing say
    reach = people.channels[users] & [channel.id in campaign.channels for channel in terms.channels]
    channels, free = tonight.devices.within(campaign.wire_class, users, reach)
    by_clock = campaign_hours(terms, campaign, tonight.local)
    if is_bound:
        by_clock &= ~tonight.quiet
    hours = by_clock[tonight.clock[users]] & free
    capped = no_room = np.zeros(hours.shape, bool)
    if is_bound:
        hours &= ~tonight.blocked[users]
        no_room = tonight.room[users] < 1
    if days is not None:
        hours &= within_days(tonight.local.date[tonight.clock[users]], days)
    if campaign.caps:
        capped = (room_for(campaign.caps, tonight.past, len(people.user_id), terms.n_slots, own) < 1)[users]
    had_hours = hours.any(axis=1)
    if campaign.canary is not None:
        hours &= canary_hours(campaign, terms.ds, keys, by_clock, tonight.clock[users])
    opted_out = np.array([campaign.topic in people.opted_out[user] for user in users], bool)
    held_out = buckets(keys, f"holdout {campaign.id}") < campaign.holdout_pct
    past_ids = tonight.past.message_id.filter(pa.array(own))
    sent = already_sent(ids, users, tonight.past.user[own], past_ids)
    # The first reason that holds is the pair's outcome.
    reasons = [
        (outcomes.SUPPRESSED, people.is_suppressed[users]),
        (outcomes.OPTED_OUT, opted_out & is_bound),
        (outcomes.UNREACHABLE, ~reach.any(axis=1)),
        (outcomes.HOLDOUT_GLOBAL, tonight.is_held_out[users] & is_bound),
        (outcomes.HOLDOUT_CAMPAIGN, held_out & is_bound),
        (outcomes.ALREADY_INTENDED, sent),
        (outcomes.DEVICE_QUOTA, ~channels.any(axis=1)),
        (outcomes.CAPPED, (capped | no_room).all(axis=1)),
        (outcomes.NO_MATERIAL, ~has_material),
        # Before `no_slot`, which an hour that the canary took would be counted as.
        (outcomes.AFTER_CANARY, had_hours & ~hours.any(axis=1)),
        (outcomes.NO_SLOT, ~(hours & ~capped).any(axis=1)),
        (outcomes.CAPPED, ~(hours & ~capped & ~no_room).any(axis=1)),
    ]
    # By number, since comparing the texts of millions of pairs a dozen times takes longer than all else.
    number = np.select([hit for _, hit in reasons], range(1, len(reasons) + 1))
    names = np.array([OPEN, *(name for name, _ in reasons)], object)
    return names[number], channels, hours & ~capped & (number == 0)[:, None]


# The person's and the category's response by slot: large, so it is worked out where it is needed.
Response = Callable[[], tuple[F64, F64]]


def _worth(terms: Terms, pairs: Pairs, weight: F64, chance: F64, response: Response) -> tuple[F64, F64]:
    """Return a message's worth before costs in each slot, (m, h), and at a mean hour, (m,)."""
    worth, at_mean = weight[:, None] * chance, weight * pairs.p_open
    if pairs.lift is not None:
        # What nobody looks at changes nobody: lift goes with the hour as opens do.
        priority = np.array([dict(terms.priority_weight)[c.priority] for c in terms.campaigns])
        lift = pairs.lift * priority[pairs.campaign]
        looks, factor = response()
        worth += lift[:, None] * looks * factor
        at_mean = at_mean + lift
    return worth, at_mean


def message_ids(terms: Terms, people: ShardPeople, pairs: Pairs) -> list[str]:
    """Return each pair's once-only key, (m,)."""
    known = [(campaign.id, campaign.occurrence) for campaign in terms.campaigns]
    each = zip(pairs.user.tolist(), pairs.campaign.tolist(), strict=True)
    return [message_id(known[k][0], people.user_id[u], known[k][1]) for u, k in each]


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

"""A night's plan to look at: hours against capacity and prices, by channel and by campaign.

Grain: night. Reads the meta of the decisions commit; writes nothing. What it says of scarce hours is what the
report says, by one function (`contracts.certificate.scarcity`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from angelia.asking.night import require_plan
from angelia.contracts.certificate import (
    Limit,
    exploration_says,
    later_says,
    limits_of,
    messages_of,
    scarcity,
)
from angelia.contracts.outcomes import BETTER_NIGHT, DECIDED
from angelia.errors import NotFound
from angelia.lake import Commit, Lake

FULL, EMPTY = "█", "░"
PARTS = " ▏▎▍▌▋▊▉"
BARS = "▁▂▃▄▅▆▇█"
WIDE = 30
PRICE_WIDE = 8
# What the commit of a plan of today says, and one of an older release may not.
_FIGURES = (
    "messages",
    "constraints",
    "start",
    "hours_passed",
    "outcomes",
    "primal_micros",
    "bound_micros",
    "gap_pct",
    "n_explore",
    "by_campaign",
    "by_hour",
)
SCREEN, BESIDE = 80, 45  # columns; of them beside a bar and its count


@dataclass(frozen=True)
class HourUse:
    """One hour of one channel: messages against capacity, its price, and whose they are."""

    slot: str
    used: int
    capacity: int
    price_micros: int
    is_full: bool
    campaigns: Mapping[str, int]


@dataclass(frozen=True)
class ChannelHours:
    """One channel's hours, and what they came to in words."""

    channel: str
    hours: tuple[HourUse, ...]
    says: str


@dataclass(frozen=True)
class CampaignHours:
    """One campaign's messages by planned hour, and its own limits where it has any.

    Attributes:
        budget: messages at the most. price_micros: of it.
        minimum: messages at the least. paid_micros: what each was paid to reach it.
        per_hour: messages an hour, by its speed limit. n_full: hours that reached it. speed_price_micros: the
            highest price of such an hour.
    """

    campaign: str
    messages: int
    by_hour: tuple[int, ...]
    budget: int | None = None
    price_micros: int | None = None
    minimum: int | None = None
    paid_micros: int | None = None
    per_hour: int | None = None
    n_full: int | None = None
    speed_price_micros: int | None = None


@dataclass(frozen=True)
class PlanShown:
    """A plan to look at; `contradictions` were named before, `fatigue` is in words."""

    commit: str
    ds: str
    start: str
    hours_passed: int
    outcomes: Mapping[str, int]
    primal_micros: int
    bound_micros: int
    gap_pct: float
    n_explore: int
    by_campaign: Mapping[str, int]
    by_hour: Mapping[str, int]
    constraints: tuple[Mapping[str, Any], ...]
    channels: tuple[ChannelHours, ...]
    campaigns: tuple[CampaignHours, ...]
    contradictions: tuple[str, ...]
    fatigue: str
    routing: str | None = None
    n_tried: int | None = None
    waits: Mapping[str, int] = field(default_factory=dict)  # messages that wait, by the date of their night

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return asdict(self)


def shown(lake: Lake, ds: str | None = None) -> PlanShown:
    """Return a night's plan, or the newest one.

    Raises:
        NotFound: the night has no plan, or one that says less than plans of today.
    """
    commit = require_plan(lake, ds)
    # Looked up first: a name that is missing within a figure would be a defect, and no older plan's.
    if lacking := [name for name in _FIGURES if name not in commit.meta]:
        raise NotFound(
            f"{commit.ref} says no {lacking[0]}, as plans of today do",
            fix=f"plan the night again: `python -m spark_jobs.plan_dispatch --ds {commit.partition['ds']}`",
        )
    return _shown(commit)


def _shown(commit: Commit) -> PlanShown:
    meta, limits = commit.meta, limits_of(commit.meta)
    cells: dict[tuple[str, str], dict[str, int]] = {}
    by_slot: dict[str, Counter[str]] = {}
    for cell in messages_of(meta):
        cells.setdefault((cell.channel, cell.slot), {})[cell.campaign_id] = cell.n
        by_slot.setdefault(cell.campaign_id, Counter())[cell.slot] += cell.n
    hourly = [limit for limit in limits if limit.is_hourly]
    slots = sorted({str(limit.slot) for limit in hourly})
    words = {one.channel: one.says for one in scarcity(meta)}
    budgets = {limit.campaign_id: limit for limit in limits if not limit.is_hourly}
    channels = tuple(
        ChannelHours(channel, tuple(_hours(channel, hourly, cells)), says) for channel, says in words.items()
    )
    own = {name: _own_limits(name, meta, budgets.get(name)) for name in meta["by_campaign"]}
    campaigns = tuple(
        CampaignHours(name, n, tuple(by_slot.get(name, Counter())[slot] for slot in slots), **own[name])
        for name, n in sorted(meta["by_campaign"].items(), key=lambda item: (-item[1], item[0]))
    )
    return PlanShown(
        commit.ref,
        commit.partition["ds"],
        meta["start"],
        meta["hours_passed"],
        meta["outcomes"],
        meta["primal_micros"],
        meta["bound_micros"],
        meta["gap_pct"],
        meta["n_explore"],
        meta["by_campaign"],
        meta["by_hour"],
        tuple(meta["constraints"]),
        channels,
        campaigns,
        tuple(meta.get("contradictions", ())),
        later_says(meta),
        _routing(meta),
        meta.get("n_tried"),
        meta.get("waits", {}),
    )


def _routing(meta: Mapping[str, Any]) -> str | None:
    """Return which campaigns chose their channel by value, and by what; None where none did."""
    if not meta.get("by_value"):
        return None
    each = ", ".join(f"{name} {factor:.2f}" for name, factor in sorted(meta["channel_responses"].items()))
    return f"{', '.join(meta['by_value'])}: the channel of most value; opens of a mean channel's: {each}"


def _hours(
    channel: str, hourly: list[Limit], cells: Mapping[tuple[str, str], Mapping[str, int]]
) -> Iterator[HourUse]:
    for limit in hourly:
        if limit.channel == channel:
            slot = str(limit.slot)
            own = cells.get((channel, slot), {})
            yield HourUse(slot, limit.used, limit.capacity, limit.price_micros, limit.is_full, own)


def _own_limits(name: str, meta: Mapping[str, Any], budget: Limit | None) -> dict[str, int]:
    """Return what `CampaignHours` says of a campaign's own limits; nothing of those it has not."""
    own: dict[str, int] = {}
    if budget is not None:
        # Below 0 it is what was paid to reach the minimum.
        own |= {"budget": budget.capacity, "price_micros": max(0, budget.price_micros)}
    for least in meta.get("minimums", ()):
        if least["campaign_id"] == name:
            own |= {"minimum": least["least"], "paid_micros": least["paid_micros"]}
    speeds = [speed for speed in meta.get("speeds", ()) if speed["campaign_id"] == name]
    if speeds:
        own["per_hour"] = speeds[-1]["capacity"]
        own["n_full"] = sum(speed["used"] >= speed["capacity"] for speed in speeds)
        own["speed_price_micros"] = max(speed["price_micros"] for speed in speeds)
    return own


def lines(plan: PlanShown) -> list[str]:
    """Return a plan for people: outcomes, value and gap, a chart a channel, a row a campaign."""
    total = sum(plan.outcomes.values())
    width = max(map(len, plan.outcomes), default=0)
    page = [f"{plan.commit}: 24 hours from {plan.start}, {total:,} considered pairs"]
    page += [f"  impossible: {one}" for one in plan.contradictions]
    page += [
        f"  {name:<{width}}  {count:>12,}  {DECIDED.get(name, '')}"
        for name, count in sorted(plan.outcomes.items(), key=lambda item: -item[1])
    ]
    page += [f"{BETTER_NIGHT}: {waits_says(plan.waits)}"] if plan.waits else []
    page.append(
        f"value {plan.primal_micros / 1e6:,.2f} of at most {plan.bound_micros / 1e6:,.2f}: gap "
        f"{plan.gap_pct} %"
    )
    page.append(f"exploration: {exploration_says(plan.n_explore, plan.n_tried)}")
    page.append(f"cost of fatigue: {plan.fatigue}")
    page += [f"routing: {plan.routing}"] if plan.routing else []
    for channel in plan.channels:
        if any(hour.used or hour.price_micros for hour in channel.hours):
            page += _chart(channel, plan.hours_passed)
        page.append(channel.says)
    return page + list(_campaigns(plan))


def waits_says(waits: Mapping[str, int]) -> str:
    """Return for which nights messages wait, as `Monday, 2026-11-16: 1,203; ...`."""
    return "; ".join(f"{date.fromisoformat(day):%A}, {day}: {n:,}" for day, n in sorted(waits.items()))


def _chart(channel: ChannelHours, passed: int) -> Iterator[str]:
    most = max((hour.price_micros for hour in channel.hours), default=0)
    counts = max((len(f"{hour.used:,}") for hour in channel.hours), default=1)
    wide = min(WIDE, SCREEN - BESIDE - counts)
    yield f"{channel.channel} by UTC hour: messages of capacity" + (", and the hour's price" if most else "")
    for i, hour in enumerate(channel.hours):
        if i < passed:
            yield f"  {hour.slot[5:10]} {hour.slot[11:13]}  passed before it was planned"
            continue
        share = hour.used / hour.capacity if hour.capacity else 0.0
        mark = "full" if hour.is_full else ""
        price = ""
        if hour.price_micros:
            tall = max(1, round(PRICE_WIDE * hour.price_micros / most))
            price = f"{_money(hour.price_micros)} {'$' * tall}"
        row = (
            f"  {hour.slot[5:10]} {hour.slot[11:13]}  {_bar(share, wide)} {hour.used:>{counts},} "
            f"{100 * share:>5.1f} %  {mark:<4}  {price}"
        )
        yield row.rstrip()


def _money(micros: int) -> str:
    """Return a price with four places; what is too small for these is no 0."""
    return "<0.0001" if 0 < micros < 50 else f"{micros / 1e6:.4f}"


def _bar(share: float, wide: int) -> str:
    eighths = round(8 * wide * min(max(share, 0.0), 1.0))
    whole, rest = divmod(eighths, 8)
    bar = FULL * whole + (PARTS[rest] if rest else "")
    return bar + EMPTY * (wide - len(bar))


def _campaigns(plan: PlanShown) -> Iterator[str]:
    if not plan.campaigns:
        return
    hours = plan.channels[0].hours if plan.channels else ()
    span = f" ({hours[0].slot[11:13]} to {hours[-1].slot[11:13]} UTC)" if hours else ""
    yield f"campaigns: messages, and by hour{span}"
    width = max(len(one.campaign) for one in plan.campaigns)
    counts = max(len(f"{one.messages:,}") for one in plan.campaigns)
    top = max((n for one in plan.campaigns for n in one.by_hour), default=0) or 1
    for campaign in plan.campaigns:
        # One scale for all campaigns: a small campaign looks small. Some are drawn, however few.
        marks = (BARS[min(7, 8 * n // (top + 1))] if n else " " for n in campaign.by_hour)
        counted = f"{campaign.messages:>{counts},}  {''.join(marks)}"
        yield f"  {campaign.campaign:<{width}}  {counted}".rstrip()
        yield from (f"  {'':<{width}}  {words}" for words in _in_words(campaign))


def _in_words(campaign: CampaignHours) -> Iterator[str]:
    """Yield what a campaign's own limits came to."""
    if campaign.budget is not None:
        yield f"budget {campaign.budget:,}, price {_money(campaign.price_micros or 0)}"
    if campaign.minimum is not None:
        came = (
            "reached"
            if campaign.messages >= campaign.minimum
            else f"missed by {campaign.minimum - campaign.messages:,}"
        )
        paid = f", paid {_money(campaign.paid_micros)} a message" if campaign.paid_micros else ""
        yield f"minimum {campaign.minimum:,}, {came}{paid}"
    if campaign.per_hour is not None:
        price = f", price up to {_money(campaign.speed_price_micros)}" if campaign.speed_price_micros else ""
        yield f"{campaign.per_hour:,} an hour at most, {campaign.n_full} of its hours full{price}"

"""Plans to look at and to compare, one night or two.

Grain: night. Reads the meta of decisions commits, which are kept by their ref; writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from angelia.asking.shown import ChannelHours, PlanShown, shown
from angelia.console.engine import Engine
from angelia.days import parse_day
from angelia.drawing.charts import Series, Trend, columns, lines, trends
from angelia.drawing.grids import heat
from angelia.errors import NotFound
from angelia.lake import Lake

NIGHTS_AT_MOST = 14


@dataclass(frozen=True)
class ComparedRow:
    """One thing counted on two sides."""

    name: str
    a: float
    b: float
    note: str = ""

    @property
    def change(self) -> float:
        """Return how much more the second side has."""
        return self.b - self.a


@dataclass(frozen=True)
class HoursChart:
    """One channel's hours on two sides, as a chart."""

    channel: str
    chart: str
    prices: str


@dataclass(frozen=True)
class Sides:
    """Two plans side by side; money in micro-units."""

    total: Sequence[ComparedRow]
    money: Sequence[ComparedRow]
    campaigns: Sequence[ComparedRow]
    channels: Sequence[ComparedRow]
    reasons: Sequence[ComparedRow]
    hours: Sequence[HoursChart] = field(default=())


def planned(lake: Lake) -> list[str]:
    """Return the newest nights that have a plan, newest first."""
    return [leaf["ds"] for leaf in reversed(lake.partitions("decisions"))][:NIGHTS_AT_MOST]


def named(lake: Lake, name: str, ds: str, known: Sequence[str], lacks: str) -> str:
    """Return the night that an address names, or the newest; empty where there is none.

    Args:
        name: the dataset that a night must have a commit of.
        lacks: how a sentence goes on that says the night has none.

    Raises:
        InvalidInput: it is not a date.
        NotFound: there is no such night.
    """
    if not ds:
        return known[0] if known else ""
    day = parse_day("the night", ds).isoformat()
    if lake.head(name, ds=day) is None:
        newest = f"one of {', '.join(known)}" if known else "wait for the first night"
        raise NotFound(f"the night {day} {lacks}", fix=newest)
    return day


def plan_of(engine: Engine, lake: Lake, ds: str) -> PlanShown:
    """Return a night's plan; read once for each commit.

    Raises:
        NotFound: the night has no plan, or one without figures.
    """
    head = lake.require("decisions", ds=ds)

    return engine.kept(("plan", lake.store.url, head.citation()), lambda: shown(lake, ds))


def plans_of(engine: Engine, lake: Lake, days: Sequence[str]) -> tuple[list[PlanShown], list[str]]:
    """Return the plans of these nights, and the nights whose plan has no figures."""
    plans, without = [], []
    for ds in days:
        try:
            plans.append(plan_of(engine, lake, ds))
        except NotFound:
            without.append(ds)
    return plans, without


def clock(slot: str) -> str:
    """Return the hour of a slot."""
    return slot[11:13]


def day_of(slot: str) -> str:
    """Return the day of a slot, as charts mark it: `15 Nov`."""
    return f"{date.fromisoformat(slot[:10]):%d %b}"


def heat_map(plan: PlanShown) -> str:
    """Return hours by channel as shares of their capacity, in per cent."""
    used = [channel for channel in plan.channels if any(hour.capacity for hour in channel.hours)]
    if not used:
        return ""
    names = [clock(hour.slot) for hour in used[0].hours]
    rows = [
        (
            channel.channel,
            [round(100 * hour.used / hour.capacity) if hour.capacity else None for hour in channel.hours],
        )
        for channel in used
    ]
    return heat(rows, names, "Messages in per cent of the hour's capacity, by channel and hour (UTC)")


def hour_chart(channel: ChannelHours) -> str:
    """Return a channel's hours: capacity behind, messages before it."""
    series = [
        Series("capacity", [hour.capacity for hour in channel.hours], "s1"),
        Series("messages", [hour.used for hour in channel.hours], "s2"),
    ]
    return columns(
        [clock(hour.slot) for hour in channel.hours],
        series,
        f"{channel.channel}: messages against capacity, by hour (UTC)",
        mark=[day_of(hour.slot) for hour in channel.hours],
    )


def price_chart(channel: ChannelHours) -> str:
    """Return what one message more is worth in each hour; empty where none has a price."""
    prices = [hour.price_micros / 1e6 for hour in channel.hours]
    if not any(prices):
        return ""
    hours = [clock(hour.slot) for hour in channel.hours]
    return lines(
        hours,
        [Series("price", prices, "s3")],
        f"{channel.channel}: price of an hour, by hour (UTC)",
        height=130,
    )


def over_nights(plans: Sequence[PlanShown]) -> str:
    """Return small lines over nights, oldest first, for the plan and for each campaign."""
    if len(plans) < 2:
        return ""
    totals = [float(sum(plan.by_campaign.values())) for plan in plans]
    values = [plan.primal_micros / 1e6 for plan in plans]
    gaps = [plan.gap_pct for plan in plans]
    rows = [
        Trend("messages", totals, f"{totals[-1]:,.0f}"),
        Trend("value", values, f"{values[-1]:,.2f}", digits=2),
        Trend("gap in %", gaps, f"{gaps[-1]:.3f}", digits=3),
    ]
    for name in sorted({name for plan in plans for name in plan.by_campaign}):
        own = [plan.by_campaign.get(name) for plan in plans]
        rows.append(
            Trend(
                name,
                [None if n is None else float(n) for n in own],
                f"{own[-1]:,}" if own[-1] is not None else "–",
            )
        )
    return trends(rows, [plan.ds[5:] for plan in plans], "Plans over nights")


def side_by_side(a: PlanShown, b: PlanShown, names: tuple[str, str]) -> Sides:
    """Return two plans compared; `names` are what the charts call them."""
    tried = []
    # Plans of before lesser materials were counted have nothing to compare.
    if a.n_tried is not None and b.n_tried is not None:
        tried = [ComparedRow("messages with a material to learn about", a.n_tried, b.n_tried)]
    return Sides(
        total=[
            ComparedRow("messages", sum(a.by_campaign.values()), sum(b.by_campaign.values())),
            ComparedRow("messages at a drawn hour", a.n_explore, b.n_explore),
            *tried,
            ComparedRow("pairs of person and campaign", sum(a.outcomes.values()), sum(b.outcomes.values())),
        ],
        money=[
            ComparedRow("value", a.primal_micros, b.primal_micros),
            ComparedRow("at most", a.bound_micros, b.bound_micros),
        ],
        campaigns=paired(a.by_campaign, b.by_campaign),
        channels=paired(_by_channel(a), _by_channel(b)),
        reasons=paired(a.outcomes, b.outcomes),
        hours=_hours(a.channels, b.channels, names),
    )


def paired(a: Mapping[str, float], b: Mapping[str, float]) -> list[ComparedRow]:
    """Return what two sides count by name, the largest first."""
    rows = [ComparedRow(name, a.get(name, 0), b.get(name, 0)) for name in {*a, *b}]
    return sorted(rows, key=lambda row: (-max(row.a, row.b), row.name))


def _by_channel(plan: PlanShown) -> dict[str, float]:
    return {channel.channel: sum(hour.used for hour in channel.hours) for channel in plan.channels}


def _hours(a: Sequence[ChannelHours], b: Sequence[ChannelHours], names: tuple[str, str]) -> list[HoursChart]:
    ours, theirs = ({channel.channel: channel for channel in side} for side in (a, b))
    charts = []
    for name in sorted({*ours, *theirs}):
        pair = ours.get(name), theirs.get(name)
        longest = max((side.hours for side in pair if side), key=len)
        if not any(hour.used or hour.price_micros for side in pair if side for hour in side.hours):
            continue
        # Plans of two nights begin at the same hour of the day, so their hours are compared by place.
        used = [_padded([hour.used for hour in side.hours] if side else [], len(longest)) for side in pair]
        prices = [
            _padded([hour.price_micros / 1e6 for hour in side.hours] if side else [], len(longest))
            for side in pair
        ]
        charts.append(pair_chart(name, [clock(hour.slot) for hour in longest], used, prices, names))
    return charts


def pair_chart(
    channel: str,
    labels: Sequence[str],
    used: Sequence[Sequence[float]],
    prices: Sequence[Sequence[float]],
    names: tuple[str, str],
) -> HoursChart:
    """Return two sides of a channel's hours as a chart, and their prices where there are any."""
    css = ("s1", "s2")
    both = [Series(names[k], used[k], css[k]) for k in (0, 1)]
    chart = columns(labels, both, f"{channel}: messages by hour (UTC)")
    if not any(map(any, prices)):
        return HoursChart(channel, chart, "")
    both = [Series(names[k], prices[k], css[k]) for k in (0, 1)]
    return HoursChart(channel, chart, lines(labels, both, f"{channel}: price of an hour (UTC)", height=130))


def _padded(values: Sequence[float], n: int) -> list[float]:
    return [*values, *[0.0] * (n - len(values))]

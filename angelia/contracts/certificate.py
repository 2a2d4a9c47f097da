"""What a plan publishes beside its rows: messages by cell, each limit's use and price.

Grain: meta of a `decisions` commit. `planning.certificate` makes it, manifests and reports read it. Cells and
limits are records; a limit's label is for people and is never read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from angelia.contracts.outcomes import NO_CAPACITY


class Messages(NamedTuple):
    """A campaign's messages in one hour (`2026-11-15T09`, UTC) by one channel."""

    slot: str
    channel: str
    campaign_id: str
    n: int


FULL_PCT = 1  # a limit with no more left than this is full: cut-offs are classes of bids


@dataclass(frozen=True)
class Limit:
    """An hour's capacity on a channel, or a campaign's budget; its use and shadow price.

    `left` is what chosen messages might still have used: the share set aside for drawn ones is not theirs.
    None in older commits.
    """

    capacity: int
    used: int
    price_micros: int
    channel: str | None = None
    slot: str | None = None
    campaign_id: str | None = None
    left: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether no more than a rest was left."""
        left = self.capacity - self.used if self.left is None else self.left
        return self.capacity > 0 and 100 * left <= FULL_PCT * self.capacity

    @property
    def is_scarce(self) -> bool:
        """Whether it kept somebody out: it has a price, or was full."""
        return self.price_micros > 0 or self.is_full

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.channel} {self.slot}" if self.is_hourly else f"budget {self.campaign_id}"

    @property
    def is_hourly(self) -> bool:
        """Whether it is the capacity of an hour rather than a budget."""
        return self.campaign_id is None

    def as_meta(self) -> dict[str, Any]:
        """Return it as `limits_of` reads it back; `limit` is for people."""
        return {
            "limit": self.label,
            **{name: value for name, value in asdict(self).items() if value is not None},
        }


@dataclass(frozen=True)
class Scarcity:
    """What a channel's hours came to, and in words.

    Attributes:
        n_hours: hours that it could send in.
        n_full: of them filled.
        n_priced: of them with a shadow price.
        says: the same as a sentence or two, for pages and terminals alike.
    """

    channel: str
    n_hours: int
    n_full: int
    n_priced: int
    says: str


def scarcity(meta: Mapping[str, Any]) -> list[Scarcity]:
    """Return what the hours of each channel came to, in the order of the limits."""
    hourly = [limit for limit in limits_of(meta) if limit.is_hourly]
    return [
        _scarcity(str(channel), [limit for limit in hourly if limit.channel == channel], meta)
        for channel in dict.fromkeys(limit.channel for limit in hourly)
    ]


def _scarcity(channel: str, hours: Sequence[Limit], meta: Mapping[str, Any]) -> Scarcity:
    able = [limit for limit in hours if limit.capacity]
    full, priced = ([one for one in able if getattr(one, name)] for name in ("is_full", "price_micros"))
    says = _in_words(channel, able, full, priced, meta)
    return Scarcity(channel, len(able), len(full), len(priced), says)


def _in_words(
    channel: str,
    able: Sequence[Limit],
    full: Sequence[Limit],
    priced: Sequence[Limit],
    meta: Mapping[str, Any],
) -> str:
    if not able:
        return f"{channel} had no capacity in any hour."
    fullest = max(able, key=lambda limit: limit.used / limit.capacity)
    use = f"the fullest took {fullest.used:,} of {fullest.capacity:,}"
    away = meta.get("outcomes", {}).get(NO_CAPACITY, 0)
    gave_way = f"; {away:,} messages gave way to others, on all channels" if away else ""
    if not full and not priced:
        if away:
            return f"No hour of {channel} was full ({use}), and none has a price{gave_way}."
        return f"No hour of {channel} was scarce: {use}, and none has a price."
    says = f"{channel}: {len(full)} of {len(able)} hours full ({use}){gave_way}"
    if priced:
        most = max(priced, key=lambda limit: limit.price_micros)
        return (
            f"{says}. {len(priced)} have a price, up to {most.price_micros / 1e6:.4f} at {most.slot}:00 UTC."
        )
    # Without a price on them the bound does not depend on these limits, so they cost no more than the gap.
    return (
        f"{says}. None has a price: the bound holds without these limits, so what they kept out is worth at "
        f"most the gap, {meta.get('gap_pct', 0.0):.3f} %."
    )


def exploration_says(n_explore: int, n_tried: int | None) -> str:
    """Return how many of a plan's messages are sent to learn, in words.

    Plans of before lesser materials were counted say nothing of them.
    """
    hours = f"{n_explore:,} messages at a drawn hour, outside the bound"
    if n_tried is None:
        return hours
    return f"{hours}; {n_tried:,} with a material that is not the person's best"


def later_says(meta: Mapping[str, Any]) -> str:
    """Return what a plan says of the price of fatigue, as a sentence for pages and terminals."""
    fatigue = meta.get("fatigue")
    if not fatigue:
        return "not priced: the model has learned nothing of it, or the policy gives it no weight"
    refusal = f", and {fatigue['refusal_opens']:g} opens a refusal" if "refusal_opens" in fatigue else ""
    if kept := fatigue.get("refusals"):
        refusal += (
            f"; refusals a message kept to {kept['ratio']:.3f} of those of the usual way, "
            f"{kept['unpriced']:.3f} without a price, by {kept['opens']:.4f} opens for as much risk"
        )
    return (
        f"{fatigue['paid_micros'] / 1e6:,.2f} of later opens and refusals, taken off the value (weight "
        f"{fatigue['weight']:g}; an open in {fatigue['tires']:.3f} lost per log message felt, "
        f"{_few(fatigue['refuses'])} refusals a message, lost for {fatigue['horizon_days']} days{refusal})"
    )


def _few(number: float) -> str:
    # Six decimals would call few none.
    return "no" if not number else f"{number:.6f}" if number >= 1e-6 else "under 0.000001"


def messages_of(meta: Mapping[str, Any]) -> list[Messages]:
    """Return a plan's messages by hour, channel and campaign."""
    return [Messages(**cell) for cell in meta["messages"]]


def limits_of(meta: Mapping[str, Any]) -> list[Limit]:
    """Return a plan's limits: hours by channel, then budgets."""
    return [
        Limit(**{name: value for name, value in stored.items() if name != "limit"})
        for stored in meta.get("constraints", [])
    ]


def messages_meta(cells: Iterable[Messages]) -> list[dict[str, Any]]:
    """Return messages as `messages_of` reads them back, in order of hour, channel and campaign."""
    return [cell._asdict() for cell in sorted(cells)]

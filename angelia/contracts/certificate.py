"""What a plan publishes beside its rows: messages by cell, each limit's use and price.

Grain: meta of a `decisions` commit. `planning.certificate` makes it, manifests and reports read it. Older
commits name their cells in text (`slot|channel|campaign`, `budget x`); only this module knows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

_BUDGET = "budget "


class Messages(NamedTuple):
    """A campaign's messages in one hour (`2026-11-15T09`, UTC) by one channel."""

    slot: str
    channel: str
    campaign_id: str
    n: int


@dataclass(frozen=True)
class Limit:
    """An hour's capacity on a channel, or a campaign's budget; its use and shadow price."""

    capacity: int
    used: int
    price_micros: int
    channel: str | None = None
    slot: str | None = None
    campaign_id: str | None = None

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.channel} {self.slot}" if self.is_hourly else f"{_BUDGET}{self.campaign_id}"

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


def messages_of(meta: Mapping[str, Any]) -> list[Messages]:
    """Return a plan's messages by hour, channel and campaign."""
    stored = meta["messages"]
    if isinstance(stored, Mapping):
        cells = [(key.split("|"), n) for key, n in stored.items()]
        return [Messages(slot, channel, campaign, n) for (slot, channel, campaign), n in cells]
    return [Messages(**cell) for cell in stored]


def limits_of(meta: Mapping[str, Any]) -> list[Limit]:
    """Return a plan's limits: hours by channel, then budgets."""
    return [_limit(stored) for stored in meta.get("constraints", [])]


def messages_meta(cells: Iterable[Messages]) -> list[dict[str, Any]]:
    """Return messages as `messages_of` reads them back, in order of hour, channel and campaign."""
    return [cell._asdict() for cell in sorted(cells)]


def _limit(stored: Mapping[str, Any]) -> Limit:
    fields = {name: value for name, value in stored.items() if name != "limit"}
    if "campaign_id" not in fields and "channel" not in fields:
        label = stored["limit"]
        if label.startswith(_BUDGET):
            fields["campaign_id"] = label.removeprefix(_BUDGET)
        else:
            fields["channel"], _, fields["slot"] = label.partition(" ")
    return Limit(**fields)

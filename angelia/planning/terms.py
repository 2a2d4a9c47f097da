"""A night's terms, the same for every shard: campaigns, channels, caps, hours, and what they may use.

Pure; `inputs.terms_of` makes them from a catalog. Money is in micro-units, hours are local.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, Limits

NO_BUDGET = 2**40  # messages; a limit that no plan reaches


@dataclass(frozen=True)
class Cap:
    """At most `messages` in any window of `days` x 24 h."""

    messages: int
    days: int


@dataclass(frozen=True)
class Arm:
    """One experiment arm; `materials` restricts the campaign's where given."""

    name: str
    share_pct: float
    materials: tuple[str, ...] | None = None

    def may_show(self, material: str) -> bool:
        """Return whether the arm's people may be shown a material of the campaign."""
        return self.materials is None or material in self.materials


@dataclass(frozen=True)
class Campaign:
    """What the plan must know of a campaign; money in micro-units, hours local."""

    id: str
    topic: str
    audience: str
    materials: tuple[str, ...]
    channels: tuple[str, ...]
    priority: str
    value_micros: int
    occurrence: str
    weekdays: frozenset[int]
    start_date: date
    end_date: date
    send_window: tuple[int, int] | None
    holdout_pct: float
    max_messages: int | None
    caps: tuple[Cap, ...]
    is_exempt: bool
    salt: str = ""
    arms: tuple[Arm, ...] = ()


@dataclass(frozen=True)
class Channel:
    """What the plan must know of a channel."""

    id: str
    cost_micros: int
    capacity_per_hour: int
    max_per_vendor_day: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Terms:
    """The night's terms, the same for every shard."""

    ds: str
    start: datetime  # UTC, on the hour
    n_slots: int
    first_slot: int  # hours before it have passed (a late night)
    campaigns: tuple[Campaign, ...]
    channels: tuple[Channel, ...]
    caps: tuple[Cap, ...]
    gap_hours: int
    quiet: tuple[int, int] | None
    holdout_pct: float
    holdout_salt: str
    explore_pct: float
    epsilon: float
    salt: str
    priority_weight: tuple[tuple[str, int], ...] = (("high", 4), ("medium", 2), ("low", 1))

    def slots(self) -> npt.NDArray[np.datetime64]:
        """Return the plan's UTC hours, datetime64[h], (h,)."""
        return np.datetime64(self.start.replace(tzinfo=None), "h") + np.arange(self.n_slots)

    def limits(self) -> Limits:
        """Return what the priced part of the plan may use: the exploration stratum's share is set aside
        first.
        """
        rest = 1.0 - self.explore_pct / 100.0
        capacity = np.zeros((len(self.channels), self.n_slots), np.int64)
        for c, channel in enumerate(self.channels):
            capacity[c, self.first_slot :] = channel.capacity_per_hour
        budget = [NO_BUDGET if c.max_messages is None else c.max_messages for c in self.campaigns]
        return Limits(
            capacity=np.floor(capacity * rest).astype(np.int64),
            budget=np.array([b if b == NO_BUDGET else int(b * rest) for b in budget], np.int64).reshape(
                len(self.campaigns)
            ),
            cost=np.array([channel.cost_micros for channel in self.channels], np.int64),
            gap_slots=self.gap_hours,
            max_messages=min([2, *(cap.messages for cap in self.caps)]),
        )

    def explore_limits(self) -> I64:
        """Return what is set aside for the exploration stratum, per constraint (c*h + k,)."""
        priced = self.limits()
        whole = [np.full(self.n_slots, channel.capacity_per_hour, np.int64) for channel in self.channels]
        for hours in whole:
            hours[: self.first_slot] = 0
        budget = np.array(
            [NO_BUDGET if c.max_messages is None else c.max_messages for c in self.campaigns], np.int64
        )
        return np.concatenate([*whole, budget]) - priced.flat() * (priced.flat() < NO_BUDGET)

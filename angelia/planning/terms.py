"""A night's terms, the same for every shard: campaigns, channels, caps, hours.

Pure; `inputs.terms_of` makes them from a catalog. Money is in micro-units, hours are local.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from angelia.contracts.outcomes import MARKETING
from angelia.planning.problem import I64, ONE, Limits

NO_BUDGET = 2**40  # messages; a limit that no plan reaches


@dataclass(frozen=True)
class RefusalPrice:
    """What the risk of a refusal costs.

    Attributes:
        opens: what a message of the reference's risk costs, in opens of its campaign. reference: risk of a
            message as the usual way sends it. at_most: the limit, in units of it. unpriced, ratio: risk
            a message over the reference, without this price and with it.
    """

    opens: float
    reference: float
    at_most: float
    unpriced: float
    ratio: float

    def as_meta(self) -> dict[str, float]:
        """Return it as `of` reads it back."""
        return asdict(self)

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> RefusalPrice | None:
        """Return the price that a plan's meta names; None where it has none."""
        known = (meta.get("fatigue") or {}).get("refusals")
        return None if known is None else cls(**known)


@dataclass(frozen=True)
class CapTerms:
    """At most `messages` in any window of `days` x 24 h."""

    messages: int
    days: int


@dataclass(frozen=True)
class ArmTerms:
    """One experiment arm; `materials` restricts the campaign's where given."""

    name: str
    share_pct: float
    materials: tuple[str, ...] | None = None

    def may_show(self, material: str) -> bool:
        """Return whether the arm's people may be shown a material of the campaign."""
        return self.materials is None or material in self.materials


@dataclass(frozen=True)
class CampaignTerms:
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
    caps: tuple[CapTerms, ...]
    is_exempt: bool
    min_messages: int = 0
    max_per_hour: int | None = None  # by its speed limit
    salt: str = ""
    arms: tuple[ArmTerms, ...] = ()
    lift_micros: int = 0  # value of one unit of lift; 0 = opens alone count
    by_value: bool = False  # its channel is chosen by what each makes of a message, too
    canary: tuple[float, int] | None = None  # share of its people that goes first, hours until the rest
    wire_class: str = MARKETING  # as which providers count its messages
    later_nights: tuple[int, ...] = ()  # nights from now on which tonight's message may go instead
    is_nightly: bool = False  # goes to a person every night: neither its caps nor its occurrence forbid it
    wait_cycle: int = 0  # nights in which each person has one that ends their wait; 0 = its occurrence does


@dataclass(frozen=True)
class ChannelTerms:
    """What the plan must know of a channel; its hours hold what its provider's minutes take."""

    id: str
    cost_micros: int
    capacity_per_hour: int
    max_per_vendor_day: tuple[tuple[str, int], ...] = ()
    max_per_device_day: tuple[tuple[str, int], ...] = ()  # by class of messages
    takes_per_hour: int = 0  # what leaves in an hour at the provider's pace, as requests
    response: int = ONE  # how often its messages are opened, a mean channel's = ONE


@dataclass(frozen=True)
class Terms:
    """The night's terms, the same for every shard."""

    ds: str
    start: datetime  # UTC, on the hour
    n_slots: int
    first_slot: int  # hours before it have passed (a late night)
    campaigns: tuple[CampaignTerms, ...]
    channels: tuple[ChannelTerms, ...]
    caps: tuple[CapTerms, ...]
    gap_hours: int
    quiet: tuple[int, int] | None
    holdout_pct: float
    holdout_salt: str
    explore_pct: float
    epsilon: float
    salt: str
    priority_weight: tuple[tuple[str, int], ...] = (("high", 4), ("medium", 2), ("low", 1))
    fatigue_weight: float = 1.0  # multiplies the price of fatigue
    lost_days: int = 365  # for how long a refused topic's messages count as lost
    refusal_opens: float = 0.0  # opens of its campaign that a refusal costs besides
    refusals_at_most: float | None = None  # a message, over those of the usual way
    refusal_price: RefusalPrice | None = None  # what keeps them there, once it was found

    @property
    def prices_fatigue(self) -> bool:
        """Whether messages pay for what they cost later."""
        return bool(self.fatigue_weight or self.prices_looks)

    @property
    def prices_looks(self) -> bool:
        """Whether what an hour is looked at costs something: it may be refused."""
        return bool(self.refusal_opens or self.refusals_at_most)

    def slots(self) -> npt.NDArray[np.datetime64]:
        """Return the plan's UTC hours, datetime64[h], (h,)."""
        return np.datetime64(self.start.replace(tzinfo=None), "h") + np.arange(self.n_slots)

    def limits(self) -> Limits:
        """Return what the priced part of the plan may use.

        The exploration stratum's share is set aside first. Minimums are the priced part's alone.
        """
        rest = 1.0 - self.explore_pct / 100.0
        capacity, budget, pace = self._whole()
        budget = np.where(budget == NO_BUDGET, budget, np.floor(budget * rest).astype(np.int64))
        least = np.array([campaign.min_messages for campaign in self.campaigns], np.int64)
        return Limits(
            capacity=np.floor(capacity * rest).astype(np.int64),
            budget=budget,
            cost=np.array([channel.cost_micros for channel in self.channels], np.int64),
            gap_slots=self.gap_hours,
            max_messages=min([2, *(cap.messages for cap in self.caps)]),
            least=np.minimum(least, budget) if least.any() else np.zeros(0, np.int64),
            paced=self.paced(),
            pace=np.floor(pace * rest).astype(np.int64),
            boost=self.boost(),
        )

    def boost(self) -> I64:
        """Return what channels make of campaigns' messages, (k, c); empty if no campaign asks."""
        if not any(campaign.by_value for campaign in self.campaigns):
            return np.zeros(0, np.int64)
        responses = [channel.response for channel in self.channels]
        mean = [ONE] * len(responses)
        return np.array([responses if c.by_value else mean for c in self.campaigns], np.int64)

    def explore_limits(self) -> I64:
        """Return what is set aside for the exploration stratum, per constraint (c*h + k + s*h,)."""
        priced = self.limits().flat()
        capacity, budget, pace = self._whole()
        whole = np.concatenate([capacity.ravel(), budget, pace.ravel()])
        return whole - priced * (priced < NO_BUDGET)

    def paced(self) -> I64:
        """Return the numbers of the campaigns with a speed limit, (s,)."""
        return np.array([k for k, c in enumerate(self.campaigns) if c.max_per_hour is not None], np.int64)

    def _whole(self) -> tuple[I64, I64, I64]:
        """Return hours of channels, (c, h), budgets, (k,), and hours of paced campaigns, (s, h)."""
        hourly = [channel.capacity_per_hour for channel in self.channels]
        paces = [campaign.max_per_hour for campaign in self.campaigns if campaign.max_per_hour is not None]
        capacity, pace = (
            np.repeat(np.array(most, np.int64)[:, None], self.n_slots, axis=1) for most in (hourly, paces)
        )
        capacity[:, : self.first_slot] = 0
        pace[:, : self.first_slot] = 0
        budget = [NO_BUDGET if c.max_messages is None else c.max_messages for c in self.campaigns]
        return capacity, np.array(budget, np.int64), pace


def contradictions(terms: Terms, limits: Limits, reach: I64) -> tuple[list[str], Limits]:
    """Return the minimums that no plan can reach, in words, and limits that lower them.

    `reach`: people to whom each campaign may be sent in an open hour, (k,).
    """
    if not limits.least.size:
        return [], limits
    hours = limits.capacity.sum(axis=1)
    unreachable, least = [], limits.least.copy()
    for k, campaign in enumerate(terms.campaigns):
        own = [n for n, channel in zip(hours, terms.channels, strict=True) if channel.id in campaign.channels]
        at = np.flatnonzero(limits.paced == k)
        most = {
            "people it may be sent to in an open hour": int(reach[k]),
            "messages its channels' hours take": int(sum(own)),
            "messages its speed limit lets pass": int(limits.pace[at].sum()) if len(at) else NO_BUDGET,
        }
        why, possible = min(most.items(), key=lambda item: item[1])
        if possible < least[k]:
            unreachable.append(f"campaign {campaign.id}: a minimum of {least[k]:,}, but {possible:,} {why}")
            least[k] = possible
    together, least = _too_much_together(terms, hours, least)
    return [*unreachable, *together], replace(limits, least=least)


def _too_much_together(terms: Terms, hours: I64, least: I64) -> tuple[list[str], I64]:
    """Return the minimums that fit one by one and not together, and all of them lowered.

    They are lowered in proportion. Looked at are the campaigns that have no channels but those of one of
    them, or of all.
    """
    known = {channel.id: int(n) for channel, n in zip(terms.channels, hours, strict=True)}
    own = [frozenset(known).intersection(campaign.channels) for campaign in terms.campaigns]
    wanting = np.flatnonzero(least).tolist()
    sets = {own[k] for k in wanting} | {frozenset[str]().union(*(own[k] for k in wanting))}
    short = []
    for channels in sorted(sets, key=lambda names: (len(names), sorted(names))):
        among = [k for k in wanting if own[k] <= channels]
        wanted, takes = int(least[among].sum()), sum(known[name] for name in channels)
        if wanted > takes:
            names = ", ".join(terms.campaigns[k].id for k in among)
            where = ", ".join(sorted(channels))
            short.append(
                f"campaigns {names}: minimums of {wanted:,} together, but {takes:,} messages the hours of "
                f"{where} take"
            )
            least[among] = least[among] * takes // wanted
    return short, least

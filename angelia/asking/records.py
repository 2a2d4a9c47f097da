"""What `why` answers: one person's night as records, for a page, a terminal or JSON.

Money in micro-units, hours in UTC unless called local. No record holds the person's id or an address.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from angelia.audience.one_person import Clause

NOT_IN_AUDIENCE = "not_in_audience"
NOT_RUNNING = "not_running"


@dataclass(frozen=True)
class PersonStanding:
    """What the night knew of the person."""

    timezone: str
    locale: str | None
    channels: tuple[str, ...]
    opted_out_topics: tuple[str, ...]
    is_suppressed: bool
    cohort: str
    evidence: float


@dataclass(frozen=True)
class Hour:
    """One planned hour on the person's clock.

    `curve` is how likely they respond then, relative to their mean hour.
    """

    slot: str
    local: str
    curve: float
    is_day_off: bool
    is_quiet: bool


@dataclass(frozen=True)
class MaterialChance:
    """A material of a campaign: its score, its chance to be drawn, or why it may not be.

    `p_open` is at a mean hour; `at_best` at the person's best open hour for its category, which the draw
    goes by.
    """

    material: str
    p_open: float | None
    at_best: float | None
    propensity: float
    why_not: str | None


@dataclass(frozen=True)
class ScorePart:
    """What one feature adds to the log-odds of an open, and over the runner-up."""

    feature: str
    value: str
    adds: float
    over_runner_up: float | None


@dataclass(frozen=True)
class Score:
    """A drawn material's score, taken apart; `parts` in order of weight."""

    material: str
    p_open: float
    runner_up: str | None
    runner_up_p_open: float | None
    parts: tuple[ScorePart, ...]


@dataclass(frozen=True)
class HourOffer:
    """One hour and channel a message could have had: worth after cost, and prices."""

    slot: str
    local: str
    channel: str
    p_open: float
    worth_micros: int
    price_micros: int
    used: int
    capacity: int
    is_chosen: bool

    @property
    def net_micros(self) -> int:
        """Return what is left of its worth after prices."""
        return self.worth_micros - self.price_micros


@dataclass(frozen=True)
class Binding:
    """A limit that the person's messages met: full, or with a price."""

    limit: str
    used: int
    capacity: int
    price_micros: int


@dataclass(frozen=True)
class Later:
    """What a message costs later, which its worth is net of.

    Attributes:
        felt: messages that the person still feels. rate: messages they get a day.
        lost: opens of later messages that it costs, in opens of one. chance: that it is refused.
        flat_micros: cost of the lost opens. share: of the worth, for the chance of a refusal.
        refusal_micros: the policy's own price of that chance, in the planned hour or else the cheapest;
            below 0 where a limit on refusals pays for it.
    """

    felt: float
    rate: float
    lost: float
    chance: float
    flat_micros: int
    share: float
    refusal_micros: int = 0


@dataclass(frozen=True)
class Fate:
    """What became of a planned message.

    `state` is a word of the ledger, or `held_back`, `not_emitted`, `not_sent_yet`. `devices`: how many of the
    person's devices on the channel took it and how many there were, if several.
    """

    state: str
    channel: str | None
    reason: str | None
    sent_ts: datetime | None
    opened_ts: datetime | None
    devices: tuple[int, int] | None = None


@dataclass(frozen=True)
class CampaignWhy:
    """Why a campaign did or did not send the person a message.

    Attributes:
        outcome: a word of `contracts.outcomes.DECIDED`, `not_in_audience` or `not_running`.
        says: the same in a sentence.
        clauses: the audience's condition, held against the person.
        closed: hours that were closed to it, by reason.
        offers: its best hours, the chosen one first.
    """

    campaign: str
    outcome: str
    says: str
    audience: str
    is_member: bool | None
    clauses: tuple[Clause, ...] = ()
    materials: tuple[MaterialChance, ...] = ()
    score: Score | None = None
    arm: str | None = None
    is_explore: bool = False
    slot: str | None = None
    local: str | None = None
    channel: str | None = None
    slot_propensity: float | None = None
    material_propensity: float | None = None
    worth_micros: int | None = None
    price_micros: int | None = None
    offers: tuple[HourOffer, ...] = ()
    closed: tuple[tuple[str, int], ...] = ()
    binding: tuple[Binding, ...] = ()
    fate: Fate | None = None
    later: Later | None = None
    by_channel: str | None = None  # how the channel was chosen, in words


@dataclass(frozen=True)
class Versions:
    """What the answer was made from: commits, the model, and the code that planned."""

    plan: str
    code: str
    model: str
    curves: str
    scores: str
    features: str
    audiences: str
    catalog: str
    user_index: str
    bitmap_index: str | None


@dataclass(frozen=True)
class Why:
    """One person's night."""

    ds: str
    start: str
    person: PersonStanding | None
    hours: tuple[Hour, ...]
    campaigns: tuple[CampaignWhy, ...]
    versions: Versions
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return asdict(self)

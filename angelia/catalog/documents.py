"""The catalog's documents: what an operator writes, one pydantic model per kind.

Grain: one document = one (kind, id). Unknown fields are refused and the nearest known name is offered; values
    are strict (`"2"` is no number), so that what is stored is what was meant. `canonical(document)` is the
    one JSON text that is stored, compared, hashed and put into snapshots: defaults are written out, so that a
    later change of a default cannot change a document that somebody approved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from angelia.catalog.problems import DocumentProblem, nearest, problem_of, type_name
from angelia.contracts.outcomes import AT_LEAST_ONCE
from angelia.contracts.sending import MAX_TTL_HOURS
from angelia.contracts.sources import CHANNEL, LOCALE, NAME
from angelia.days import FIRST_DAY, LAST_DAY
from angelia.errors import InvalidInput, without_addresses

MICROS = 1_000_000  # int64 micro-units, so sums do not depend on order

Id = Annotated[str, Field(pattern=NAME)]
Locale = Annotated[str, Field(pattern=LOCALE)]
Pct = Annotated[float, Field(ge=0, le=100)]
# Far above any use, and far below where a night's sums would leave 64 bits.
MAX_COUNT = 1_000_000_000
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
# For a campaign with occurrence `once`, a plan reads all pushes since its start.
MAX_ONCE_DAYS = 3_660
Hour = Annotated[int, Field(ge=0, le=23)]
Salt = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
ChannelName = Annotated[str, Field(pattern=CHANNEL)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Scalar = str | int | float


def _distinct(values: Sequence[Any]) -> Any:
    if len(set(values)) != len(values):
        raise ValueError(f"{sorted({str(v) for v in values if list(values).count(v) > 1})} is named twice")
    return values


Ids = Annotated[tuple[Id, ...], AfterValidator(_distinct)]


class DocumentPart(BaseModel):
    """What every model here shares: no unknown fields, strict values, immutable, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Document(DocumentPart):
    """A document of the catalog."""

    id: Id


class Cap(DocumentPart):
    """At most `messages` in any `days` x 24 hours (a sliding window)."""

    messages: int = Field(ge=0, le=10_000)
    days: int = Field(ge=1, le=90)


Caps = Annotated[tuple[Cap, ...], Field(max_length=20)]


class QuietHours(DocumentPart):
    """Local hours in which nothing is sent: from `start` up to `end`; may cross midnight."""

    start: Hour
    end: Hour

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("start equals end: leave quiet hours out to have none")
        return self


class Holdout(DocumentPart):
    """A share of all users who get no marketing, drawn by `salt`: every lift compares with it."""

    share_pct: Pct
    salt: Salt


class Explore(DocumentPart):
    """How much is drawn to learn from: share of people (slots), of expected opens (epsilon)."""

    slot_share_pct: Pct
    epsilon: float = Field(ge=0, le=1)
    temperature: float | None = Field(None, gt=0, le=100)  # unused since materials are drawn by inverse gap


class Fatigue(DocumentPart):
    """The price of later costs: its weight, and for how long a refused topic counts as lost."""

    weight: float = Field(default=1.0, ge=0, le=100)
    horizon_days: int = Field(default=90, ge=1, le=730)


class Policy(Document):
    """What holds for every marketing message; exactly one, `default`."""

    kind: Literal["policy"] = "policy"
    id: Literal["default"] = "default"
    caps: Caps = ()
    min_gap_hours: int = Field(0, ge=0, le=168)
    quiet_hours: QuietHours | None = None
    holdout: Holdout
    explore: Explore
    fatigue: Fatigue = Fatigue()
    salt: Salt


class Channel(Document):
    """A way to a person; `enabled: false` = declared, never used."""

    kind: Literal["channel"] = "channel"
    id: ChannelName
    provider: Id
    enabled: bool = True
    cost_per_message: float = Field(0.0, ge=0, le=1000)
    capacity_per_hour: Count
    quota_per_minute: Count
    max_per_vendor_day: dict[Id, Count] = {}

    @property
    def cost_micros(self) -> int:
        """Cost of one message in micro-units."""
        return round(self.cost_per_message * MICROS)


class Audience(Document):
    """Who: a predicate over the fields the contracts declare."""

    kind: Literal["audience"] = "audience"
    description: str = ""
    predicate: str = Field(min_length=1, max_length=20_000)


class Variable(DocumentPart):
    """A template variable: the material's field, else `source` (user.<column>), else `default`."""

    default: Scalar | None = None
    source: Annotated[str, Field(pattern=r"^user\.[a-z][a-z0-9_]*$")] | None = None


class Variant(DocumentPart):
    """The words in one language (liquid)."""

    title: str = Field(min_length=1, max_length=2000)
    body: str = Field(min_length=1, max_length=20_000)


class Template(Document):
    """Text with variables, in one language or more.

    `channel: fcm` is short for `channels: [fcm]`.
    """

    kind: Literal["template"] = "template"
    channels: Annotated[tuple[ChannelName, ...], AfterValidator(_distinct), Field(min_length=1)]
    variables: dict[Id, Variable] = {}
    variants: dict[Locale, Variant] = Field(min_length=1)
    default_locale: Locale = "en"
    link: Annotated[str, Field(max_length=2000)] | None = None

    @model_validator(mode="after")
    def _has_default(self) -> Self:
        if self.default_locale not in self.variants:
            raise ValueError(
                f"default_locale {self.default_locale} has no variant (there are {', '.join(self.variants)})"
            )
        return self


class Material(Document):
    """One content variant a campaign may show: a template with its fields."""

    kind: Literal["material"] = "material"
    template: Id
    category: Id | None = None
    fields: dict[Id, Scalar] = {}
    locales: Annotated[tuple[Locale, ...], AfterValidator(_distinct), Field(min_length=1)] | None = None
    valid_from: Day | None = None
    valid_until: Day | None = None
    audience: Id | None = None

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValueError(f"valid_until {self.valid_until} is before valid_from {self.valid_from}")
        return self

    def is_valid_on(self, day: date) -> bool:
        """Return whether the material may be shown on a day."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )


class Occurrence(DocumentPart):
    """How often a person may get it: `once`, once a day, or once an ISO week.

    `weekdays` limits the days.
    """

    every: Literal["once", "daily", "weekly"]
    weekdays: Annotated[tuple[Weekday, ...], AfterValidator(_distinct), Field(min_length=1)] | None = None

    def key(self, day: date) -> str | None:
        """Return the occurrence of a day (`once`, `2026-11-15`, `2026-W46`), or None."""
        if self.weekdays is not None and WEEKDAYS[day.weekday()] not in self.weekdays:
            return None
        if self.every == "once":
            return "once"
        if self.every == "daily":
            return day.isoformat()
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"


class SendWindow(DocumentPart):
    """Local hours in which it may arrive: from `start` up to `end` of the same day."""

    start: Hour
    end: Annotated[int, Field(ge=1, le=24)]

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end {self.end} is not after start {self.start}")
        return self


class Budget(DocumentPart):
    """At most, and if people allow at least, so many of its messages in one plan."""

    max_messages: PositiveCount
    min_messages: PositiveCount | None = None

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.min_messages is not None and self.min_messages > self.max_messages:
            raise ValueError(f"min_messages {self.min_messages} is above max_messages {self.max_messages}")
        return self


class Attribution(DocumentPart):
    """Hours after a message in which what a person does may be credited to it; 0 = none."""

    since: Literal["delivered", "displayed"] = "delivered"
    open_hours: int = Field(24, ge=0, le=168)
    conversion_hours: int = Field(24, ge=0, le=168)
    conversion: Id | None = None  # event type; None: that of the report


class Campaign(Document):
    """A campaign: who gets which message, when and how often.

    `at_least_once` makes it transactional: caps, holdouts and quiet hours do not apply.
    """

    kind: Literal["campaign"] = "campaign"
    name: str = Field(min_length=1, max_length=200)
    topic: Id
    owner: str = Field(min_length=1, max_length=200)
    audience: Id
    materials: Annotated[Ids, Field(min_length=1)]
    channels: Annotated[tuple[ChannelName, ...], AfterValidator(_distinct), Field(min_length=1)]
    priority: Literal["high", "medium", "low"] = "medium"
    guarantee: Literal["at_most_once", "at_least_once"] = "at_most_once"
    value_per_open: float = Field(ge=0, le=1_000_000)
    occurrence: Occurrence
    start_date: Day
    end_date: Day
    send_window: SendWindow | None = None
    holdout_pct: Pct = 0.0
    budget: Budget | None = None
    speed_limit_per_minute: PositiveCount | None = None
    caps: Caps = ()
    experiment: Id | None = None
    ttl_hours: int = Field(12, ge=1, le=672)
    approval_required: bool = False
    attribution: Attribution | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        if self.occurrence.every == "once" and (self.end_date - self.start_date).days > MAX_ONCE_DAYS:
            raise ValueError(
                f"start_date: a campaign that comes once runs for at most {MAX_ONCE_DAYS:,} days, since each "
                f"night reads all pushes since it began; this is {(self.end_date - self.start_date).days:,}"
            )
        if self.is_transactional and self.holdout_pct:
            raise ValueError("holdout_pct: a transactional campaign (at_least_once) has no holdout")
        if self.is_transactional and self.ttl_hours > MAX_TTL_HOURS:
            raise ValueError(
                f"ttl_hours: a transactional campaign (at_least_once) is tried for at most "
                f"{MAX_TTL_HOURS} hours, not {self.ttl_hours}"
            )
        return self

    @property
    def is_transactional(self) -> bool:
        """Whether it must arrive at least once, and is exempt from marketing's limits."""
        return self.guarantee == AT_LEAST_ONCE

    @property
    def value_micros(self) -> int:
        """Value of one open in micro-units."""
        return round(self.value_per_open * MICROS)

    def occurrence_on(self, day: date) -> str | None:
        """Return the occurrence key of a (local) day, or None if the campaign does not run then."""
        return self.occurrence.key(day) if self.start_date <= day <= self.end_date else None


class Arm(DocumentPart):
    """One arm; `materials` narrows the campaign's materials, none given = all of them."""

    name: Id
    share_pct: Pct
    materials: Annotated[Ids, Field(min_length=1)] | None = None


class Experiment(Document):
    """Users split into arms by a hash of (salt, user)."""

    kind: Literal["experiment"] = "experiment"
    salt: Salt
    arms: tuple[Arm, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _distinct([arm.name for arm in self.arms])
        total = sum(arm.share_pct for arm in self.arms)
        if abs(total - 100) > 1e-9:
            raise ValueError(f"arms: shares sum to {total:g}, not to 100")
        return self


AnyDocument = Policy | Channel | Audience | Template | Material | Campaign | Experiment
KINDS: dict[str, type[AnyDocument]] = {
    "policy": Policy,
    "channel": Channel,
    "audience": Audience,
    "template": Template,
    "material": Material,
    "experiment": Experiment,
    "campaign": Campaign,
}


def check_document(raw: object) -> tuple[AnyDocument | None, list[DocumentProblem]]:
    """Return the document, or None and everything that is wrong with it."""
    if not isinstance(raw, Mapping):
        return None, [DocumentProblem((), f"a document is a mapping with kind and id, not {type_name(raw)}")]
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        what = "kind is missing" if "kind" not in raw else f"unknown kind {kind!r}"
        return None, [
            DocumentProblem(("kind",) if "kind" in raw else (), f"{what}{nearest(str(kind), KINDS)}")
        ]
    if kind == "template" and "channel" in raw:
        if "channels" in raw:
            return None, [DocumentProblem(("channel",), "give channel or channels, not both")]
        raw = {**{key: value for key, value in raw.items() if key != "channel"}, "channels": [raw["channel"]]}
    try:
        # JSON mode is strict about types, yet accepts dates and lists as YAML and JSON write them.
        return KINDS[kind].model_validate_json(json.dumps(raw, default=str)), []
    except ValidationError as error:
        return None, list(
            dict.fromkeys(problem_of(KINDS[kind], detail) for detail in error.errors(include_url=False))
        )


def parse_document(raw: object) -> AnyDocument:
    """Return the document of a parsed YAML or JSON mapping.

    Raises:
        InvalidInput: naming everything that is wrong with it.
    """
    document, problems = check_document(raw)
    if document is None:
        name = f"{raw.get('kind', '?')}/{raw.get('id', '?')}" if isinstance(raw, Mapping) else "document"
        raise InvalidInput(without_addresses(f"{name}: " + "; ".join(map(str, problems))))
    return document


def canonical(document: AnyDocument) -> str:
    """Return the one JSON text of a document: sorted keys, defaults written out, no spaces."""
    return json.dumps(
        document.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )

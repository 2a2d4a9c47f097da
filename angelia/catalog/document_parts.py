"""What documents are made of: the types of their fields, and the parts they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from angelia.contracts.sources import CHANNEL, LOCALE, NAME
from angelia.days import FIRST_DAY, LAST_DAY

Id = Annotated[str, Field(pattern=NAME)]
Locale = Annotated[str, Field(pattern=LOCALE)]
Pct = Annotated[float, Field(ge=0, le=100)]
# Far above any use, and far below where a night's sums would leave 64 bits.
MAX_COUNT = 1_000_000_000
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
Hour = Annotated[int, Field(ge=0, le=23)]
Salt = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
ChannelName = Annotated[str, Field(pattern=CHANNEL)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Scalar = str | int | float
# What people read in place of an id, by language.
Titles = Annotated[dict[Locale, Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1)]
MAX_TRIGGER_MINUTES = 7 * 24 * 60
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%")


def distinct(values: Sequence[Any]) -> Any:
    """Return the values, or refuse those in which one is named twice (ValueError)."""
    if len(set(values)) != len(values):
        raise ValueError(f"{sorted({str(v) for v in values if list(values).count(v) > 1})} is named twice")
    return values


Ids = Annotated[tuple[Id, ...], AfterValidator(distinct)]


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


class HoldoutPolicy(DocumentPart):
    """A share of all users who get no marketing, drawn by `salt`: every lift compares with it."""

    share_pct: Pct
    salt: Salt


class Explore(DocumentPart):
    """How much is drawn to learn from: share of people (slots), of expected opens (epsilon)."""

    slot_share_pct: Pct
    epsilon: float = Field(ge=0, le=1)
    temperature: float | None = Field(None, gt=0, le=100)  # unused since materials are drawn by inverse gap


class FatiguePolicy(DocumentPart):
    """The price of later costs: its weight, and for how long a refused topic counts as lost.

    `refusal_opens` is what a refusal costs besides, in opens of its campaign. `refusals_at_most` limits
    refusals a message, in units of those that the usual way would cause. Without them a document keeps the
    text it had before they existed.
    """

    weight: float = Field(default=1.0, ge=0, le=100)
    horizon_days: int = Field(default=365, ge=1, le=730)
    refusal_opens: float = Field(default=0.0, ge=0, le=1000)
    refusals_at_most: float | None = Field(default=None, ge=0.5, le=2)

    @model_serializer(mode="wrap")
    def _without_no_price(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        body: dict[str, Any] = handler(self)
        if not self.refusal_opens:
            del body["refusal_opens"]
        if self.refusals_at_most is None:
            body.pop("refusals_at_most", None)  # a dump may leave out what is not set
        return body


class Variable(DocumentPart):
    """A template variable: the material's field, else `source` (user.<column>), else `default`."""

    default: Scalar | None = None
    source: Annotated[str, Field(pattern=r"^user\.[a-z][a-z0-9_]*$")] | None = None


class Variant(DocumentPart):
    """The words in one language (liquid)."""

    title: str = Field(min_length=1, max_length=2000)
    body: str = Field(min_length=1, max_length=20_000)


class Occurrence(DocumentPart):
    """How often a person may get it: `once`, once a day, or once an ISO week.

    `weekdays` limits the days.
    """

    every: Literal["once", "daily", "weekly"]
    weekdays: Annotated[tuple[Weekday, ...], AfterValidator(distinct), Field(min_length=1)] | None = None

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


class LiftWorth(DocumentPart):
    """Count what messages change as worth: by which kept model, at what price.

    The unit is the model's metric: a conversion, a unit of money, or an active day.
    """

    model: Id
    value: float = Field(gt=0, le=1_000_000)


class Trigger(DocumentPart):
    """What sets a message off: an event, and perhaps that another one does not follow it."""

    event: Id
    where: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None  # who, besides the audience
    without: Id | None = None
    within_minutes: int | None = Field(None, ge=1, le=MAX_TRIGGER_MINUTES)
    delay_minutes: int = Field(0, ge=0, le=MAX_TRIGGER_MINUTES)
    at_most: Cap | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if (self.without is None) is not (self.within_minutes is None):
            raise ValueError("within_minutes: give without and within_minutes together, or neither")
        if self.without == self.event:
            raise ValueError(f"without: {self.event} is the event itself; name what must not follow it")
        return self

    @property
    def waits_us(self) -> int:
        """Microseconds from the event to the message."""
        return ((self.within_minutes or 0) + self.delay_minutes) * 60_000_000


class Direct(DocumentPart):
    """How clients may send a template without a campaign; `Campaign` says each word."""

    topic: Id
    guarantee: Literal["at_most_once", "at_least_once"] = "at_most_once"
    ttl_hours: int = Field(12, ge=1, le=672)


class Canary(DocumentPart):
    """A share of the planned people goes first; the rest waits for what comes of it.

    Written `canary: 2 %` for its defaults. `messages` is the evidence that a verdict takes; with less, `then`
    says what becomes of the rest.
    """

    share_pct: float = Field(gt=0, le=50)
    hours: int = Field(3, ge=1, le=12)
    messages: PositiveCount = 100
    max_rejected_pct: Pct = 10.0
    max_refused_pct: Pct = 1.0  # people who unsubscribed or complained
    min_opened_pct: Pct = 0.0  # 0 = opens are not looked at
    then: Literal["send", "expire", "ask"] = "expire"

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, given: object) -> object:
        """Take `2 %` for a canary of that share, and `share: 2 %` for its share."""
        if isinstance(given, str | int | float):
            given = {"share_pct": given}
        if not isinstance(given, dict):
            return given
        if "share" in given:
            if "share_pct" in given:
                raise ValueError("share: give share or share_pct, not both")
            given = {"share_pct": given["share"]} | {key: given[key] for key in given if key != "share"}
        share = given.get("share_pct")
        if isinstance(share, str) and (number := _SHARE.fullmatch(share.strip())):
            given = given | {"share_pct": float(number[1])}
        return given


class Arm(DocumentPart):
    """One arm; `materials` narrows the campaign's materials, none given = all of them."""

    name: Id
    share_pct: Pct
    materials: Annotated[Ids, Field(min_length=1)] | None = None

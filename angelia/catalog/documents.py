"""The catalog's documents: what an operator writes, one pydantic model per kind.

Grain: one document = one (kind, id). Unknown fields are refused and the nearest known name is offered; values
    are strict (`"2"` is no number), so that what is stored is what was meant. `canonical(document)` is the
    one JSON text that is stored, compared, hashed and put into snapshots: defaults are written out, so that a
    later change of a default cannot change a document that somebody approved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from angelia.catalog.document_parts import (
    Arm,
    Attribution,
    Budget,
    Canary,
    Caps,
    ChannelName,
    Count,
    Day,
    Direct,
    Document,
    Explore,
    FatiguePolicy,
    HoldoutPolicy,
    Id,
    Ids,
    LiftWorth,
    Locale,
    Occurrence,
    Pct,
    PositiveCount,
    QuietHours,
    Salt,
    Scalar,
    SendWindow,
    Titles,
    Trigger,
    Variable,
    Variant,
    distinct,
)
from angelia.catalog.problems import DocumentProblem, nearest, problem_of, type_name
from angelia.contracts.ids import DIRECT_PREFIXES, MAX_DIRECT_LETTERS, direct_template
from angelia.contracts.outcomes import AT_LEAST_ONCE, MARKETING, TRANSACTIONAL
from angelia.contracts.sending import ALL, BEST, MAX_TTL_HOURS, MOST_DEVICES, NEWEST
from angelia.errors import InvalidInput, without_addresses

MICROS = 1_000_000  # int64 micro-units, so sums do not depend on order
# For a campaign with occurrence `once`, a plan reads all pushes since its start.
MAX_ONCE_DAYS = 3_660
LATER = (
    *("trigger", "cancel_on", "uplift", "canary", "choose_channel", "devices", "message_class"),
    "postpone_nights",
    *("max_per_device_day", "titles", "topics"),
    "direct",
)

DEVICES = {
    NEWEST: "the device that was registered last",
    BEST: "the device that showed most of its recent messages; of equal ones the newest",
    ALL: f"all of a person's devices on the channel (at most {MOST_DEVICES}), together one message",
}


class Policy(Document):
    """What holds for every marketing message; exactly one, `default`."""

    kind: Literal["policy"] = "policy"
    id: Literal["default"] = "default"
    caps: Caps = ()
    min_gap_hours: int = Field(0, ge=0, le=168)
    quiet_hours: QuietHours | None = None
    holdout: HoldoutPolicy
    explore: Explore
    fatigue: FatiguePolicy = FatiguePolicy()
    salt: Salt
    topics: dict[Id, Titles] | None = None  # what the preferences page calls them


class Channel(Document):
    """A way to a person; `enabled: false` = declared, never used."""

    kind: Literal["channel"] = "channel"
    id: ChannelName
    provider: Id
    enabled: bool = True
    cost_per_message: float = Field(0.0, ge=0, le=1000)
    capacity_per_hour: Count
    quota_per_minute: Count
    max_per_vendor_day: dict[Id, Count] = Field(default_factory=dict)
    max_per_device_day: dict[Literal["marketing", "service", "transactional"], Count] | None = None
    titles: Titles | None = None  # what the preferences page calls it

    @property
    def cost_micros(self) -> int:
        """Cost of one message in micro-units."""
        return round(self.cost_per_message * MICROS)


class Audience(Document):
    """Who: a predicate over the fields the contracts declare."""

    kind: Literal["audience"] = "audience"
    description: str = ""
    predicate: str = Field(min_length=1, max_length=20_000)


class Template(Document):
    """Text with variables, in one language or more.

    `channel: fcm` is short for `channels: [fcm]`.
    """

    kind: Literal["template"] = "template"
    channels: Annotated[tuple[ChannelName, ...], AfterValidator(distinct), Field(min_length=1)]
    variables: dict[Id, Variable] = Field(default_factory=dict)
    variants: dict[Locale, Variant] = Field(min_length=1)
    default_locale: Locale = "en"
    link: Annotated[str, Field(max_length=2000)] | None = None
    direct: Direct | None = None  # clients of the intake may send it without a campaign

    @model_validator(mode="after")
    def _may_be_direct(self) -> Self:
        if self.direct is None:
            return self
        if len(self.id) > MAX_DIRECT_LETTERS:
            raise ValueError(f"direct: the id of such a template has at most {MAX_DIRECT_LETTERS} letters")
        if self.direct.guarantee == AT_LEAST_ONCE and self.direct.ttl_hours > MAX_TTL_HOURS:
            raise ValueError(
                f"direct: what is owed (at_least_once) is tried for at most {MAX_TTL_HOURS} hours, "
                f"not {self.direct.ttl_hours}"
            )
        return self

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
    fields: dict[Id, Scalar] = Field(default_factory=dict)
    locales: Annotated[tuple[Locale, ...], AfterValidator(distinct), Field(min_length=1)] | None = None
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
    channels: Annotated[tuple[ChannelName, ...], AfterValidator(distinct), Field(min_length=1)]
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
    uplift: LiftWorth | None = None
    trigger: Trigger | None = None  # set off by what people do, and in no night's plan
    cancel_on: Id | None = None  # event type; a planned message is withheld once it has happened
    choose_channel: Literal["best"] | None = None  # by what each channel makes of a message, less its cost
    canary: Canary | None = None  # a share goes first; the rest waits for what comes of it
    devices: Literal["newest", "best", "all"] | None = None  # a person's, on the channel; unsaid: the newest
    message_class: Literal["marketing", "service"] | None = None  # as providers count; unsaid: marketing
    # So many nights a message may wait for one that is worth more; a week has every weekday once.
    postpone_nights: Annotated[int, Field(ge=1, le=6)] | None = None

    @model_validator(mode="after")
    def _sense(self) -> Self:
        if direct_template(self.id) is not None:
            raise ValueError(
                f"id: names that begin with {' or '.join(DIRECT_PREFIXES)} are those of templates that "
                "clients send without a campaign"
            )
        if self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} is before start_date {self.start_date}")
        if self.occurrence.every == "once" and (self.end_date - self.start_date).days > MAX_ONCE_DAYS:
            raise ValueError(
                f"start_date: a campaign that comes once runs for at most {MAX_ONCE_DAYS:,} days, since each "
                f"night reads all pushes since it began; this is {(self.end_date - self.start_date).days:,}"
            )
        if self.is_transactional and self.holdout_pct:
            raise ValueError("holdout_pct: a transactional campaign (at_least_once) has no holdout")
        # The guarantee decides about consent, so no other word may seem to.
        if self.is_transactional and self.message_class:
            raise ValueError(
                "message_class: a transactional campaign (at_least_once) is of that class; leave it out"
            )
        if self.is_transactional and self.uplift:
            raise ValueError("uplift: a transactional campaign (at_least_once) is sent whatever it changes")
        if self.is_transactional and self.canary:
            raise ValueError("canary: a transactional campaign (at_least_once) is owed to everybody at once")
        if self.is_transactional and self.ttl_hours > MAX_TTL_HOURS:
            raise ValueError(
                f"ttl_hours: a transactional campaign (at_least_once) is tried for at most "
                f"{MAX_TTL_HOURS} hours, not {self.ttl_hours}"
            )
        if self.trigger is not None:
            self._check_trigger()
        if self.postpone_nights:
            self._check_postponing(self.postpone_nights)
        return self

    def _check_trigger(self) -> None:
        if self.is_transactional:
            raise ValueError(
                "trigger: a transactional campaign (at_least_once) is exempt from consent, so what people do "
                "must not set it off; ask for its messages by the intake, or make it at_most_once"
            )
        if self.approval_required:
            raise ValueError("approval_required: nobody is asked about what an event sets off; leave it out")
        if self.cancel_on is not None:
            raise ValueError("cancel_on: is for planned messages; a trigger says without and within_minutes")
        if self.canary is not None:
            raise ValueError("canary: is for planned messages; what an event sets off has no rest to wait")

    def _check_postponing(self, nights: int) -> None:
        if self.is_transactional:
            raise ValueError("postpone_nights: a transactional campaign (at_least_once) is owed at once")
        if self.trigger is not None:
            raise ValueError("postpone_nights: what an event sets off is in no night's plan; leave it out")
        if self.canary is not None:
            raise ValueError("postpone_nights: who goes first must not wait; drop it, or the canary")
        if self.budget is not None and self.budget.min_messages:
            raise ValueError("postpone_nights: with budget.min_messages it must send tonight; drop one")
        rare = any(cap.messages * (nights + 1) <= cap.days for cap in self.caps)
        if self.occurrence.every == "daily" and not rare:
            raise ValueError(
                "postpone_nights: a daily campaign loses a message with each night that it waits, unless a "
                f"cap of its own leaves a person at most one in {nights + 1} days; add one, or wait less"
            )

    @property
    def goes_to(self) -> str:
        """Which of a person's devices on its channel a message goes to, in words."""
        return DEVICES[self.devices or NEWEST]

    @property
    def is_transactional(self) -> bool:
        """Whether it must arrive at least once, and is exempt from marketing's limits."""
        return self.guarantee == AT_LEAST_ONCE

    @property
    def wire_class(self) -> str:
        """As which class of messages providers count it."""
        return TRANSACTIONAL if self.is_transactional else self.message_class or MARKETING

    @property
    def value_micros(self) -> int:
        """Value of one open in micro-units."""
        return round(self.value_per_open * MICROS)

    @property
    def lift_micros(self) -> int:
        """Value of one unit of lift in micro-units; 0 = lift does not count."""
        return 0 if self.uplift is None else round(self.uplift.value * MICROS)

    def occurrence_on(self, day: date) -> str | None:
        """Return the occurrence key of a (local) day, or None if the campaign does not run then."""
        return self.occurrence.key(day) if self.start_date <= day <= self.end_date else None


class Experiment(Document):
    """Users split into arms by a hash of (salt, user)."""

    kind: Literal["experiment"] = "experiment"
    salt: Salt
    arms: tuple[Arm, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        distinct([arm.name for arm in self.arms])
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
    """Return the one JSON text of a document: sorted keys, defaults written out, no spaces.

    Parts of `LATER` that a document lacks are left out: documents that were approved before they existed keep
    their text, so an apply of the same file makes no new version.
    """
    body = document.model_dump(mode="json")
    for name in LATER:
        if name in body and body[name] is None:
            del body[name]
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

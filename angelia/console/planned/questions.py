"""The form of a what-if: what may be set, what was typed, and what is wrong with it.

Grain: setting. Reads a planned night's catalog, kept by its plan; writes nothing. Each value goes through the
checks of `angelia plan whatif` by itself, so a problem stands at its own field; then all go together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from angelia.asking.night import PlannedNight, open_night
from angelia.asking.settings import Changed, Setting, change, settings_of
from angelia.console.engine import Engine
from angelia.console.planned.nights import ComparedRow, HoursChart, Sides, clock, pair_chart, paired
from angelia.contracts.certificate import limits_of
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.planning.replay import CHANGEABLE

CHOICES = {"priority": ("high", "medium", "low"), "stop": ("no", "yes")}
HOURS = "hours."
_HOUR = re.compile(r"(\d{1,2})\s*=\s*(\d{1,12})")
_SAYS = re.compile(r"^--set (?P<names>[^:]*?)(=[^:]*)?: (?P<says>.*)$", re.DOTALL)
# What a plan alone can follow, so what a replay may change: no capacity, no cost, no stop.
REPLAYED = (
    *("caps", "min_gap_hours", "quiet_hours", "holdout", "explore"),
    *("budget", "value", "priority", "postpone", "window", "channels"),
)


@dataclass(frozen=True)
class FormField:
    """One field of the form."""

    name: str
    meaning: str
    takes: str
    value: str
    typed: str
    choices: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_changed(self) -> bool:
        """Return whether something else than the night's value was typed."""
        return self.typed not in ("", self.value)


@dataclass(frozen=True)
class Group:
    """Fields that belong together: the night's, a channel's, a campaign's."""

    title: str
    fields: tuple[FormField, ...]

    @property
    def is_open(self) -> bool:
        """Return whether there is something to see: a change or a problem."""
        return any(one.is_changed or one.problem for one in self.fields)


@dataclass(frozen=True)
class Form:
    """What was asked, and whether it can be."""

    groups: tuple[Group, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    general: str = ""
    changed: Changed | None = None

    @property
    def is_sound(self) -> bool:
        """Return whether every value can be."""
        return not (self.problems or self.general)


def night_of(engine: Engine, lake: Lake, ds: str) -> PlannedNight:
    """Return a planned night with its catalog, opened once for each plan.

    Raises:
        NotFound: it has no plan, or what it was made from has expired.
    """
    plan = lake.require("decisions", ds=ds)
    return engine.kept(("night", lake.store.url, plan.citation()), lambda: open_night(lake, ds))


def form_of(
    night: PlannedNight, typed: Mapping[str, str], takes: Callable[[str], bool] = lambda name: True
) -> Form:
    """Return the form as it was typed, each value checked.

    Args:
        typed: by name of a setting, or `hours.CHANNEL`; empty means as it is.
        takes: which settings the form has.
    """
    running = [campaign.id for campaign in night.terms.campaigns]
    known = [one for one in settings_of(night.catalog, running) if takes(one.name)]
    wanted, problems, owner = _wanted(known, typed)
    general, changed = "", None
    if not problems:
        try:
            changed = change(night.catalog, running, wanted)
        except InvalidInput as error:
            general = _says(error)
    # One by one only if together they cannot be: a value may need another, as waiting needs a cap.
    for name, value in wanted.items() if changed is None else ():
        try:
            change(night.catalog, running, {name: value})
        except InvalidInput as error:
            problems.setdefault(owner.get(name, name), _says(error))
    general = "" if problems else general  # each can be, but not all together
    return Form(tuple(_groups(known, running, typed, problems)), wanted, problems, general, changed)


def _wanted(
    known: Iterable[Setting], typed: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return settings that differ, problems by field, and the field of settings that share one."""
    wanted: dict[str, str] = {}
    problems: dict[str, str] = {}
    owner: dict[str, str] = {}
    for limit in known:
        name = _field_name(limit.name)
        text = " ".join(typed.get(name, "").split())
        if not text or (text == limit.value and not name.startswith(HOURS)):
            continue
        if not name.startswith(HOURS):
            wanted[limit.name] = text
            continue
        channel = name.removeprefix(HOURS)
        rest = _HOUR.sub("", text).replace(",", "").strip()
        if rest:
            problems[name] = "hours are written as 20=0, 21=500: a UTC hour, and the messages it may take"
        for hour, messages in _HOUR.findall(text):
            setting = f"capacity.{channel}.{int(hour):02}"
            if setting in wanted:
                problems[name] = f"hour {int(hour):02} is set twice"
            wanted[setting], owner[setting] = messages, name
            if int(hour) > 23:
                problems[name] = f"there is no hour {hour}: 00 to 23"
    return wanted, problems, owner


def _field_name(setting: str) -> str:
    """Return the form's name of a setting; the hours of a channel share one field."""
    if setting.startswith("capacity.") and setting.endswith(".HH"):
        return HOURS + setting.removeprefix("capacity.").removesuffix(".HH")
    return setting


def _says(error: InvalidInput) -> str:
    match = _SAYS.match(error.message)
    says = match["says"] if match else error.message
    return f"{says}; {error.fix}" if error.fix else says


def _groups(
    known: Iterable[Setting], running: Iterable[str], typed: Mapping[str, str], problems: Mapping[str, str]
) -> Iterable[Group]:
    grouped: dict[str, list[FormField]] = {}
    campaigns = set(running)
    for limit in known:
        kind, _, rest = limit.name.partition(".")
        name = _field_name(limit.name)
        title = next((part for part in (rest, rest.partition(".")[0]) if part in campaigns), "")
        if not title:
            title = "Channels" if kind in ("capacity", "cost") else "Everybody"
        is_hours = name.startswith(HOURS)
        value = "" if is_hours else limit.value
        meaning = "capacity of single UTC hours" if is_hours else limit.meaning
        takes = "such as 20=0, 21=500" if is_hours else limit.takes
        if title == "Channels":
            meaning = f"{(rest.removesuffix('.HH'))}: {meaning}"
        grouped.setdefault(title, []).append(
            FormField(
                name,
                meaning,
                takes,
                value,
                " ".join(typed.get(name, "").split()) or value,
                CHOICES.get(kind, ()),
                problems.get(name, ""),
            )
        )
    return (Group(title, tuple(fields)) for title, fields in grouped.items())


def may_be_replayed(name: str) -> bool:
    """Return whether a replay can follow a setting."""
    return name.partition(".")[0] in REPLAYED


def changes_of(night: PlannedNight, changed: Changed) -> dict[str, dict[str, Any]]:
    """Return settings as a replay takes them: changed fields by campaign, and of `policy`."""
    before = {"policy": night.catalog.policy, **night.catalog.campaigns}
    after = {"policy": changed.catalog.policy, **changed.catalog.campaigns}
    changes: dict[str, dict[str, Any]] = {}
    for name, document in before.items():
        a, b = document.model_dump(mode="json"), after[name].model_dump(mode="json")
        fields = CHANGEABLE["policy" if name == "policy" else "campaign"]
        if own := {one: b[one] for one in fields if a[one] != b[one]}:
            changes[name] = own
    return changes


@dataclass(frozen=True)
class Moved:
    """What became of one campaign's messages."""

    campaign: str
    gained: int
    lost: int
    moved: int


def sides_of(answer: Mapping[str, Any]) -> Sides:
    """Return a kept answer (`WhatIf.as_dict`) as two sides: the plan, and what if."""
    total = answer["total"]

    def of(part: Mapping[str, Any], name: str) -> tuple[dict[str, float], dict[str, float]]:
        return (
            {key: pair["plan"][name] for key, pair in part.items()},
            {key: pair["what_if"][name] for key, pair in part.items()},
        )

    a, b = total["plan"], total["what_if"]
    people = answer["people"]
    reasons: dict[str, list[int]] = {}
    for outcomes in answer["outcomes"].values():
        for name, (before, after) in outcomes.items():
            both = reasons.setdefault(name, [0, 0])
            both[0], both[1] = both[0] + before, both[1] + after
    return Sides(
        total=[
            ComparedRow("messages", a["messages"], b["messages"]),
            ComparedRow("people with a message", people[0], people[1]),
            ComparedRow("opens to expect", round(a["opens"]), round(b["opens"])),
        ],
        money=[
            ComparedRow("value, with what is sent to learn from", a["value_micros"], b["value_micros"]),
            *_bounds(answer["certificates"]),
        ],
        campaigns=paired(*of(answer["campaigns"], "messages")),
        channels=paired(*of(answer["channels"], "messages")),
        reasons=paired(
            {name: both[0] for name, both in reasons.items()},
            {name: both[1] for name, both in reasons.items()},
        ),
        hours=_hours(answer["certificates"]),
    )


def moves_of(answer: Mapping[str, Any]) -> list[Moved]:
    """Return which campaigns' messages go elsewhere."""
    moves = [Moved(name, **one) for name, one in answer["moves"].items()]
    return [one for one in moves if one.gained or one.lost or one.moved]


def _bounds(certificates: Mapping[str, Any]) -> list[ComparedRow]:
    """Return the value of what was chosen, and its bound.

    Both leave out what is sent to learn from.
    """
    both = certificates["plan"], certificates["what_if"]
    rows = (("value of what was chosen", "primal_micros"), ("that is at most", "bound_micros"))
    return [
        ComparedRow(name, *(one[key] for one in both))
        for name, key in rows
        if all(key in one for one in both)
    ]


def _hours(certificates: Mapping[str, Any]) -> list[HoursChart]:
    both = [
        {(limit.channel, limit.slot): limit for limit in limits_of(certificates[side]) if limit.is_hourly}
        for side in ("plan", "what_if")
    ]
    charts = []
    for channel in dict.fromkeys(str(key[0]) for side in both for key in side):
        slots = sorted({str(slot) for side in both for name, slot in side if name == channel})
        pairs = [[side.get((channel, slot)) for slot in slots] for side in both]
        used = [[limit.used if limit else 0 for limit in side] for side in pairs]
        if not any(map(any, used)):
            continue
        prices = [[limit.price_micros / 1e6 if limit else 0.0 for limit in side] for side in pairs]
        labels = [clock(slot) for slot in slots]
        charts.append(pair_chart(channel, labels, used, prices, ("plan", "what if")))
    return charts

"""What a what-if may set: names like `capacity.fcm.20`, each with its value on the night.

Grain: setting. Pure: a night's catalog in, a changed catalog and hours' capacities out. A changed document is
checked by its own model, as if an operator had applied it. Surprise: an hour is an hour of the plan, in UTC,
because capacity is a provider's and not a person's.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import numpy as np

from angelia.catalog.documents import AnyDocument, parse_document
from angelia.catalog.snapshot import Catalog, catalog_of, documents_of
from angelia.errors import InvalidInput
from angelia.planning.problem import I64, Limits
from angelia.planning.terms import Terms

NONE = "none"
_PER = {"per_day": 1, "per_week": 7}


@dataclass(frozen=True)
class Setting:
    """One thing that may be set: its name, its value on the night, and what it means."""

    name: str
    value: str
    meaning: str
    takes: str


@dataclass(frozen=True)
class Changed:
    """A night's catalog with settings made; `hours` is (channel, UTC hour) -> messages."""

    catalog: Catalog
    hours: Mapping[tuple[str, int], int]


def settings_of(catalog: Catalog, running: Sequence[str]) -> list[Setting]:
    """Return all that may be set for a night of these running campaigns, with its value."""
    policy = catalog.policy
    caps = {cap.days: cap.messages for cap in policy.caps}
    settings = [
        Setting("caps.user_per_day", _shown(caps.get(1)), "messages in 24 h", "a number or none"),
        Setting("caps.user_per_week", _shown(caps.get(7)), "messages in 7 days", "a number or none"),
        *(
            Setting(f"caps.user_per_{days}_days", str(n), f"messages in {days} days", "a number or none")
            for days, n in sorted(caps.items())
            if days not in _PER.values()
        ),
        Setting("min_gap_hours", str(policy.min_gap_hours), "hours between two messages", "a number"),
        Setting("quiet_hours", _span(policy.quiet_hours), "local hours without messages", "22-8 or none"),
        Setting("holdout.global", f"{policy.holdout.share_pct:g}", "held out of marketing", "per cent"),
        Setting(
            "explore.slots", f"{policy.explore.slot_share_pct:g}", "people with a random hour", "per cent"
        ),
        Setting("explore.epsilon", f"{policy.explore.epsilon:g}", "share drawn to learn", "0 to 1"),
        Setting(
            "fatigue.weight", f"{policy.fatigue.weight:g}", "factor on the price of fatigue", "0 or more"
        ),
        Setting("fatigue.days", str(policy.fatigue.horizon_days), "days lost by a refusal", "a number"),
        Setting("fatigue.refusal", f"{policy.fatigue.refusal_opens:g}", "opens a refusal costs", "0 or more"),
        Setting(
            "fatigue.at_most", f"{policy.fatigue.refusals_at_most or NONE}", "limit on refusals", "0.5 to 2"
        ),
    ]
    for name, channel in sorted(catalog.channels.items()):
        if channel.enabled:
            capacity = str(channel.capacity_per_hour)
            settings += [
                Setting(f"capacity.{name}", capacity, "messages in an hour", "a number"),
                Setting(f"capacity.{name}.HH", capacity, "messages in one UTC hour, 00 to 23", "a number"),
                Setting(f"cost.{name}", f"{channel.cost_per_message:g}", "cost of a message", "money"),
            ]
    for name in running:
        campaign = catalog.campaigns[name]
        own = {cap.days: cap.messages for cap in campaign.caps}
        budget = campaign.budget.max_messages if campaign.budget else None
        settings += [
            Setting(f"budget.{name}", _shown(budget), "messages at most in the night", "a number or none"),
            Setting(f"value.{name}", f"{campaign.value_per_open:g}", "value of an open", "money"),
            Setting(f"priority.{name}", campaign.priority, "a weight of 4, 2 or 1", "high, medium or low"),
            Setting(
                f"postpone.{name}", _shown(campaign.postpone_nights), "nights it may wait", "1 to 6 or none"
            ),
            Setting(f"window.{name}", _span(campaign.send_window), "local send window", "9-18 or none"),
            Setting(f"holdout.{name}", f"{campaign.holdout_pct:g}", "people held out of it", "per cent"),
            Setting(f"channels.{name}", ",".join(campaign.channels), "channels it may use", "fcm,sms"),
            Setting(f"stop.{name}", "no", "leave it out of the night", "yes or no"),
            Setting(f"caps.{name}.per_day", _shown(own.get(1)), "its messages in 24 h", "a number or none"),
            Setting(
                f"caps.{name}.per_week", _shown(own.get(7)), "its messages in 7 days", "a number or none"
            ),
        ]
    return settings


def parse(texts: Sequence[str]) -> dict[str, str]:
    """Return settings from `NAME=VALUE` texts.

    Raises:
        InvalidInput: one is not of that form, or a name comes twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or not value:
            raise InvalidInput(f"--set {text!r} is not NAME=VALUE", fix="e.g. --set caps.user_per_day=1")
        if name in values:
            raise InvalidInput(f"--set: {name} is set twice", fix="set it once")
        values[name] = value
    return values


def texts_of(named: str) -> list[str]:
    """Return a JSON object of settings as the texts that `parse` takes; an empty text has none.

    Raises:
        InvalidInput: it is no such object.
    """
    try:
        values = json.loads(named or "{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(one, str | int | float) for one in values.values()):
        raise InvalidInput(
            "--settings is not a JSON object of settings",
            fix="""write it as '{"caps.user_per_day": "1"}'""",
        )
    return [f"{name}={value}" for name, value in values.items()]


def change(catalog: Catalog, running: Sequence[str], wanted: Mapping[str, str]) -> Changed:
    """Return the catalog with settings made.

    Raises:
        InvalidInput: there is no such setting (naming those there are), or a value cannot be.
    """
    made = _Changes(catalog, running)
    for name, value in wanted.items():
        made.set(name, value)
    return made.result()


@dataclass(frozen=True)
class HourTerms(Terms):
    """Terms in which single slots have a capacity: (channel, slot, messages)."""

    by_slot: tuple[tuple[int, int, int], ...] = ()

    def limits(self) -> Limits:
        """Return what the priced part of the plan may use."""
        limits = super().limits()
        capacity, rest = limits.capacity.copy(), 1.0 - self.explore_pct / 100.0
        for channel, slot, messages in self._ahead():
            capacity[channel, slot] = int(np.floor(messages * rest))
        return replace(limits, capacity=capacity)

    def explore_limits(self) -> I64:
        """Return what is set aside for the exploration stratum."""
        reserve, priced = super().explore_limits(), self.limits()
        for channel, slot, messages in self._ahead():
            at = channel * self.n_slots + slot
            reserve[at] = messages - priced.capacity[channel, slot]
        return reserve

    def _ahead(self) -> Iterator[tuple[int, int, int]]:
        """Yield what is set of hours that have not passed."""
        return (one for one in self.by_slot if one[1] >= self.first_slot)


def with_hours(terms: Terms, hours: Mapping[tuple[str, int], int]) -> Terms:
    """Return terms in which some UTC hours have a capacity of their own."""
    if not hours:
        return terms
    of_slot = {(terms.start + timedelta(hours=slot)).hour: slot for slot in range(terms.n_slots)}
    of_channel = {channel.id: number for number, channel in enumerate(terms.channels)}
    by_slot = sorted((of_channel[name], of_slot[hour], n) for (name, hour), n in hours.items())
    own = {field.name: getattr(terms, field.name) for field in fields(Terms)}
    return HourTerms(**own, by_slot=tuple(by_slot))


class _Changes:
    """Settings on their way into documents: raw fields, checked together at the end."""

    def __init__(self, catalog: Catalog, running: Sequence[str]) -> None:
        self.catalog, self.running = catalog, running
        self.raw: dict[tuple[str, str], dict[str, Any]] = {}
        self.names: dict[tuple[str, str], list[str]] = {}
        self.stopped = set(catalog.stopped)
        self.hours: dict[tuple[str, int], int] = {}
        self.known = {setting.name: setting for setting in settings_of(catalog, running)}

    def set(self, name: str, value: str) -> None:
        """Make one setting."""
        kind, _, rest = name.partition(".")
        handlers: dict[str, Callable[[str, str, str], bool]]
        handlers = {"caps": self._caps, "capacity": self._capacity, "stop": self._stop}
        if kind in handlers:
            if not handlers[kind](name, rest, value):
                raise self._unknown(name)
            return
        if name not in self.known:
            raise self._unknown(name)
        policy = ("policy", "default")
        match kind, rest:
            case "min_gap_hours", _:
                self._put(policy, name, "min_gap_hours", _whole(name, value))
            case "quiet_hours", _:
                self._put(policy, name, "quiet_hours", _hours(name, value))
            case "holdout", "global":
                self._part(policy, name, "holdout", "share_pct", _number(name, value))
            case "explore", "slots":
                self._part(policy, name, "explore", "slot_share_pct", _number(name, value))
            case "explore", "epsilon":
                self._part(policy, name, "explore", "epsilon", _number(name, value))
            case "fatigue", "weight":
                self._part(policy, name, "fatigue", "weight", _number(name, value))
            case "fatigue", "days":
                self._part(policy, name, "fatigue", "horizon_days", _whole(name, value))
            case "fatigue", "refusal":
                self._part(policy, name, "fatigue", "refusal_opens", _number(name, value))
            case "fatigue", "at_most":
                most = None if value == NONE else _number(name, value)
                self._part(policy, name, "fatigue", "refusals_at_most", most)
            case "cost", channel:
                self._put(("channel", channel), name, "cost_per_message", _number(name, value))
            case "budget", campaign:
                # The catalog's documents have no budget of 0, so the replay's must not either.
                if value == "0":
                    raise InvalidInput(
                        f"--set {name}=0: a budget is at least 1",
                        fix=f"leave it out with stop.{campaign}=yes",
                    )
                self._budget(("campaign", campaign), name, None if value == NONE else _whole(name, value))
            case "value", campaign:
                self._put(("campaign", campaign), name, "value_per_open", _number(name, value))
            case "postpone", campaign:
                nights = None if value == NONE else _whole(name, value)
                self._put(("campaign", campaign), name, "postpone_nights", nights)
            case "priority", campaign:
                self._put(("campaign", campaign), name, "priority", value)
            case "window", campaign:
                self._put(("campaign", campaign), name, "send_window", _hours(name, value))
            case "holdout", campaign:
                self._put(("campaign", campaign), name, "holdout_pct", _number(name, value))
            case "channels", campaign:
                names = [one.strip() for one in value.split(",")]
                self._put(("campaign", campaign), name, "channels", names)

    def result(self) -> Changed:
        """Return the catalog, each changed document checked by its model."""
        documents = []
        for stored in documents_of(self.catalog):
            raw = self.raw.get(stored.key)
            if raw is None:
                documents.append(stored)
                continue
            try:
                parsed: AnyDocument = parse_document(raw)
            except InvalidInput as error:
                asked = ", ".join(self.names[stored.key])
                raise InvalidInput(f"--set {asked}: {error.message}", fix=error.fix) from None
            documents.append(replace(stored, document=parsed))
        changed = catalog_of(documents, self.stopped, self.catalog.commit)
        unknown = [
            f"{campaign.id} may use {channel}"
            for campaign in changed.campaigns.values()
            if ("campaign", campaign.id) in self.raw
            for channel in campaign.channels
            if channel not in changed.channels
        ]
        if unknown:
            raise InvalidInput(
                f"--set channels: {unknown[0]}, which is not in the night's catalog",
                fix=f"it has {', '.join(changed.channels)}",
            )
        return Changed(changed, self.hours)

    def _document(self, key: tuple[str, str], name: str) -> dict[str, Any]:
        kind = {"policy": {"default": self.catalog.policy}, "channel": self.catalog.channels}
        group: Mapping[str, AnyDocument] = kind.get(key[0], self.catalog.campaigns)  # type: ignore[assignment]
        self.names.setdefault(key, []).append(name)
        return self.raw.setdefault(key, group[key[1]].model_dump(mode="json"))

    def _put(self, key: tuple[str, str], name: str, field: str, value: Any) -> None:
        self._document(key, name)[field] = value

    def _part(self, key: tuple[str, str], name: str, field: str, part: str, value: Any) -> None:
        self._document(key, name)[field][part] = value

    def _budget(self, key: tuple[str, str], name: str, most: int | None) -> None:
        # Whatever else a budget says stays as it is.
        document = self._document(key, name)
        budget = {**(document["budget"] or {}), "max_messages": most}
        document["budget"] = budget if any(value is not None for value in budget.values()) else None

    def _caps(self, name: str, rest: str, value: str) -> bool:
        who, _, span = rest.partition(".")
        if who.startswith("user_") and not span:
            key, span = ("policy", "default"), who.removeprefix("user_")
        elif who in self.running:
            key = ("campaign", who)
        else:
            return False
        days = _PER.get(span)
        if days is None and span.startswith("per_") and span.endswith("_days"):
            text = span.removeprefix("per_").removesuffix("_days")
            days = int(text) if text.isdigit() and len(text) < 5 else None
        if days is None:
            return False
        raw = self._document(key, name)
        caps = [cap for cap in raw["caps"] if cap["days"] != days]
        if value != NONE:
            caps.append({"messages": _whole(name, value), "days": days})
        raw["caps"] = sorted(caps, key=lambda cap: int(cap["days"]))
        return True

    def _capacity(self, name: str, rest: str, value: str) -> bool:
        channel, _, hour = rest.partition(".")
        if f"capacity.{channel}" not in self.known:
            return False
        if not hour:
            self._put(("channel", channel), name, "capacity_per_hour", _whole(name, value))
            return True
        if not hour.isdigit() or len(hour) > 2 or int(hour) > 23:
            return False
        if (channel, int(hour)) in self.hours:
            raise InvalidInput(f"--set: {name} is set twice", fix="set it once")
        self.hours[channel, int(hour)] = _whole(name, value)
        return True

    def _stop(self, name: str, rest: str, value: str) -> bool:
        if rest not in self.running:
            return False
        if value not in ("yes", "no"):
            raise InvalidInput(f"--set {name}={value}: say yes or no")
        if value == "yes":
            self.stopped.add(rest)
        return True

    def _unknown(self, name: str) -> InvalidInput:
        near = difflib.get_close_matches(name, self.known, n=1, cutoff=0.7)
        channels = [one.removeprefix("cost.") for one in self.known if one.startswith("cost.")]
        patterns = dict.fromkeys(_pattern(one, channels, self.running) for one in self.known)
        meant = f"did you mean {near[0]}? " if near else ""
        return InvalidInput(
            f"--set: nothing is called {name!r}",
            fix=(
                f"{meant}what may be set: {', '.join(patterns)}, where CHANNEL is {' or '.join(channels)} "
                f"and CAMPAIGN is {' or '.join(self.running)}"
            ),
        )


def _pattern(name: str, channels: Sequence[str], campaigns: Sequence[str]) -> str:
    """Return a setting's name with words for the channel and the campaign in it."""
    words = {**dict.fromkeys(campaigns, "CAMPAIGN"), **dict.fromkeys(channels, "CHANNEL")}
    return ".".join(words.get(part, part) if at else part for at, part in enumerate(name.split(".")))


def _whole(name: str, value: str) -> int:
    if not value.isdigit() or len(value) > 12:
        raise InvalidInput(f"--set {name}={value:.13}: {value[:13]!r} is not a whole number of 1-12 digits")
    return int(value)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidInput(f"--set {name}={value}: {value!r} is not a number") from None


def _hours(name: str, value: str) -> dict[str, int] | None:
    if value == NONE:
        return None
    start, dash, end = value.partition("-")
    if not dash or not start.isdigit() or not end.isdigit():
        raise InvalidInput(f"--set {name}={value}: hours are written as 9-18", fix="or none")
    return {"start": int(start), "end": int(end)}


def _shown(value: int | None) -> str:
    return NONE if value is None else str(value)


def _span(span: Any) -> str:
    return NONE if span is None else f"{span.start}-{span.end}"

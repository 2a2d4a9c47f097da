"""One person: what is known of them, planned for them and sent to them, and why.

Grain: person. Reads user_index, user_features, send_times, the newest user_endpoints and user_preferences,
registered_addresses, the plans of the last nights and what became of them; writes nothing. Surprise: an id is
turned into an ordinal once, and from then on only the row groups that hold the ordinal are read; of the
sources, which know ids alone, only row groups whose ids can hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from angelia.asking.fate import Openings, fate_of
from angelia.asking.night import planned_nights
from angelia.asking.records import Fate
from angelia.asking.response_curve import curve_of
from angelia.audience.holdout import Holdout
from angelia.catalog.saved_audiences import holdout_of
from angelia.contracts.outcomes import DECIDED, SENT
from angelia.contracts.sources import CHANNELS
from angelia.errors import AngeliaError, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.users.addresses import masked
from angelia.users.index import require_index
from angelia.users.one_person import Footers, PersonLake, find_ordinal, rows_of_user
from angelia.users.registered import addresses_of
from angelia.users.suppressions import OPTED_IN, refusals_of

NIGHTS = 7
ID_CHARS_AT_MOST = 4_096
PROFILE = (
    ("gender", "gender"),
    ("age_years", "age"),
    ("country", "country"),
    ("province", "region"),
    ("locale", "language"),
    ("timezone", "timezone"),
    ("device_vendor", "device"),
    ("membership_level", "membership level"),
    ("tags", "tags"),
    ("days_since_signup", "days since signup"),
    ("days_since_event", "days since any event"),
    ("days_since_purchase", "days since a purchase"),
    ("n_active_days_28d", "active days of 28"),
    ("n_purchases_28d", "purchases in 28 days"),
    ("value_28d", "spent in 28 days"),
    ("n_pushes_28d", "messages in 28 days"),
    ("n_opens_28d", "opened in 28 days"),
)


COUNTED = {"active_days": "n_active_days_28d", "pushes": "n_pushes_28d", "opens": "n_opens_28d"}


@dataclass(frozen=True)
class Address:
    """An address that a message may go to, masked."""

    channel: str
    masked: str
    since: datetime | None
    is_active: bool
    app_version: str | None = None
    permission: str | None = None  # whether the device shows notifications


@dataclass(frozen=True)
class Preference:
    """What the person allowed or refused, and when they last said so."""

    kind: str
    name: str
    is_opted_in: bool
    at: datetime | None


@dataclass(frozen=True)
class Entry:
    """One entry of the suppressions about the person."""

    since: datetime
    channel: str | None
    reason: str
    is_address: bool

    @property
    def opens(self) -> bool:
        """Whether it opened again what another had closed."""
        return self.reason == OPTED_IN


@dataclass(frozen=True)
class Considered:
    """One campaign on one night: what was decided, and what became of it."""

    campaign: str
    outcome: str
    says: str
    slot: datetime | None
    channel: str | None
    material: str | None
    fate: Fate | None


@dataclass(frozen=True)
class PersonNights:
    """One planned night; `problem` says why it cannot be read."""

    ds: str
    rows: tuple[Considered, ...]
    problem: str = ""


@dataclass(frozen=True)
class Suppressed:
    """Whether the person is closed everywhere, and whether that can be opened again."""

    is_closed: bool
    is_for_good: bool
    channels: tuple[str, ...]
    may_open: tuple[str, ...]  # what can be opened again; the empty text stands for all channels
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class PersonPage:
    """All that a page shows of a person; no id and no whole address is in it."""

    ordinal: int
    ds: str | None
    timezone: str | None
    profile: tuple[tuple[str, str], ...]
    channels: tuple[str, ...]
    opted_out_topics: tuple[str, ...]
    is_held_out: bool | None
    addresses: tuple[Address, ...]
    preferences: tuple[Preference, ...]
    suppressed: Suppressed
    curve: Mapping[str, Any] | None
    curve_problem: str
    nights: tuple[PersonNights, ...]
    notes: tuple[str, ...]


def lookup(lake: Lake, user: str, footers: Footers | None = None) -> PersonLake:
    """Return the lake as if only this person lived in it.

    Args:
        lake: main.
        user: their id.
        footers: those of files that earlier look-ups opened.

    Raises:
        NotFound: nobody has this id; the message does not repeat it.
    """
    if not lake.partitions("user_index"):
        # A home that no night has run in: the lake's own words would name a dataset and a chain.
        raise NotFound("nobody is known yet", fix="run nightly_personalization, or `angelia bootstrap`")
    index = require_index(lake)
    return PersonLake(lake, find_ordinal(lake, index, user), int(index.meta["shard_bits"]), footers)


def id_of(typed: str) -> str:
    """Return an id as it was typed.

    Raises:
        InvalidInput: there is none.
    """
    user = typed.strip()
    if not user or len(user) > ID_CHARS_AT_MOST:
        raise InvalidInput("there is no id", fix="type the person's id as the sources write it")
    return user


def features_of(lake: Lake, mine: PersonLake) -> dict[str, Any] | None:
    """Return a person's row of the newest features; None if they have none."""
    commit = _newest(lake, "user_features")
    return next(iter(mine.read(commit).to_pylist()), None) if commit else None


def person_of(lake: Lake, logs: Lake, mine: PersonLake, user: str, openings: Openings) -> PersonPage:
    """Return what is known of a person.

    Args:
        lake: main.
        logs: a lake object that is kept, so that entries of logs are read once.
        mine: the person's, from `lookup`.
        user: their id.
        openings: kept, so that receipts are looked through once.
    """
    notes: list[str] = []
    features = _newest(lake, "user_features")
    row = next(iter(mine.read(features).to_pylist()), None) if features else None
    if features is not None and row is None:
        notes.append(f"{features.ref} has no row of them: they came later, or were erased")
    known = row or {}
    ds = features.partition["ds"] if features else None
    curve, problem = _curve(lake, mine, known)
    return PersonPage(
        mine.ordinal,
        ds,
        known.get("timezone"),
        tuple((name, _text(known[column])) for column, name in PROFILE if known.get(column) is not None),
        tuple(known.get("channels") or ()),
        tuple(known.get("opted_out_topics") or ()),
        _is_held_out(lake, ds, user),
        tuple(_addresses(lake, user)),
        tuple(_preferences(lake, user)),
        suppressed_of(logs, user),
        curve,
        problem,
        tuple(_nights(lake, mine, openings)),
        tuple(notes),
    )


def suppressed_of(logs: Lake, user: str) -> Suppressed:
    """Return what the log of suppressions says of a person."""
    log = logs.read_log("suppressions")
    log = log.filter(pc.equal(log["user_id"], user))
    refusals, rows = refusals_of(log), log.to_pylist()
    entries = (
        Entry(row["since_ts"], row["channel"], row["reason"], bool(row["address_hash"])) for row in rows
    )
    # Every channel is asked: an entry about all channels closes those that no entry names, too.
    known = sorted({*CHANNELS, *(str(row["channel"]) for row in rows if row["channel"])})
    channels = tuple(channel for channel in known if refusals.closed(user, channel))
    may_open = ("", *channels) if refusals.has_refused(user, None) else channels
    return Suppressed(
        refusals.closed_everywhere(user),
        refusals.is_for_good(user, None),
        channels,
        tuple(name for name in may_open if not refusals.is_for_good(user, name or None)),
        tuple(sorted(entries, key=lambda entry: entry.since, reverse=True)),
    )


def _newest(lake: Lake, name: str) -> Commit | None:
    days = [leaf["ds"] for leaf in lake.partitions(name)]
    return lake.head(name, ds=days[-1]) if days else None


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _is_held_out(lake: Lake, ds: str | None, user: str) -> bool | None:
    holdout: Holdout | None = holdout_of(lake, ds) if ds else None
    return bool(holdout.holds([user])[0]) if holdout else None


def _addresses(lake: Lake, user: str) -> Iterator[Address]:
    for row in addresses_of(lake, user).to_pylist():
        hidden = masked(str(row["channel"]), str(row["address"] or ""))
        of_device = row["app_version"], row["permission"]
        yield Address(str(row["channel"]), hidden, row["registered_ts"], bool(row["is_active"]), *of_device)


def _preferences(lake: Lake, user: str) -> Iterator[Preference]:
    commit = _newest(lake, "user_preferences")
    if commit is not None:
        columns = ["kind", "name", "is_opted_in", "updated_ts"]
        rows = rows_of_user(lake, commit, user, columns).to_pylist()
        for row in sorted(rows, key=lambda row: (str(row["kind"]), str(row["name"]))):
            yield Preference(str(row["kind"]), str(row["name"]), bool(row["is_opted_in"]), row["updated_ts"])


def _curve(lake: Lake, mine: PersonLake, features: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """Return the newest response curve, or why there is none."""
    commit = _newest(lake, "send_times")
    if commit is None:
        return None, "no night has made response curves yet"
    try:
        curve = curve_of(mine, commit, mine.ordinal, mine.shard, None)
    except AngeliaError as error:
        return None, error.one_line()
    # The features have counted the days already: two files a day need not be read again.
    counts = {name: features.get(column) for name, column in COUNTED.items()}
    return {**curve, "ds": commit.partition["ds"], "evidence": {**curve["evidence"], **counts}}, ""


def _nights(lake: Lake, mine: PersonLake, openings: Openings) -> Iterator[PersonNights]:
    """Yield the last planned nights, newest first, with what considered the person."""
    for ds in reversed(planned_nights(lake)[-NIGHTS:]):
        try:
            yield PersonNights(ds, tuple(_considered(lake, mine, ds, openings)))
        except AngeliaError as error:
            yield PersonNights(ds, (), error.one_line())


def _considered(lake: Lake, mine: PersonLake, ds: str, openings: Openings) -> Iterator[Considered]:
    plan = lake.require("decisions", ds=ds)
    rows = mine.read(plan, ["choices"])["choices"].to_pylist()
    choices = [choice for choices in rows for choice in choices]
    for choice in sorted(choices, key=lambda each: (each["outcome"] != SENT, each["campaign_id"])):
        name, outcome, slot = choice["campaign_id"], choice["outcome"], choice["slot"]
        fate = None
        if outcome == SENT:
            fate = fate_of(lake, mine, ds, name, choice["message_id"], slot, openings)
        says = DECIDED.get(outcome, outcome)
        yield Considered(name, outcome, says, slot, choice["channel"], choice["material_id"], fate)

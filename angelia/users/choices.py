"""What people chose on their preferences page: topics and channels, language, quiet hours.

Writes the log `preference_choices`, and `suppressions` for channels, which workers obey within ten seconds;
reads both and the newest `user_preferences`. Grain: person x topic or channel. Surprises: of choices and
imported preferences the later word holds; a yes opens a channel that an unsubscription closed, never one that
a complaint, an operator or an erasure closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.users.one_person import rows_of_user
from angelia.users.person_log import PersonLog
from angelia.users.registered import compact_words
from angelia.users.suppressions import Refusals, close_person, open_person

Choice = tuple[str, str]  # kind (topic, channel, language, quiet_hours), and its name
CHOICES = "preference_choices"
LANGUAGE = "language"
_COLUMNS = ["kind", "name", "is_opted_in", "updated_ts"]


def words_of(lake: Lake, user: str, log: PersonLog | None = None) -> dict[Choice, bool]:
    """Return a person's last word on each thing they spoke of, the newest last.

    `log`: what is known of the log of choices; without one all of it is read.
    """
    rows = [{name: row[name] for name in _COLUMNS} for row in (log or PersonLog(lake, CHOICES)).of(user)]
    leaves = lake.partitions("user_preferences")
    if leaves:
        commit = lake.require("user_preferences", **leaves[-1])
        rows += rows_of_user(lake, commit, user, _COLUMNS).to_pylist()
    # Of two words at one time no is the last, as the night reads them.
    rows.sort(key=lambda row: (row["updated_ts"], not row["is_opted_in"]))
    words: dict[Choice, bool] = {}
    for row in rows:
        choice = str(row["kind"]), str(row["name"])
        words.pop(choice, None)
        words[choice] = bool(row["is_opted_in"])
    return words


def chosen(words: Mapping[Choice, bool], kind: str) -> str | None:
    """Return the language or the quiet hours that a person chose; None = none, or taken back."""
    last = [(name, is_yes) for (its_kind, name), is_yes in words.items() if its_kind == kind][-1:]
    return next((name for name, is_yes in last if is_yes), None)


def changed(words: Mapping[Choice, bool], kind: str, wanted: str | None) -> dict[Choice, bool]:
    """Return the words by which a person gets this language or these hours, None for none."""
    before = chosen(words, kind)
    if wanted == before:
        return {}
    return {(kind, wanted): True} if wanted is not None else {(kind, str(before)): False}


def openness(
    lake: Lake,
    user: str,
    channels: Iterable[str],
    words: Mapping[Choice, bool],
    log: PersonLog | None = None,
) -> dict[str, bool]:
    """Say of each channel whether a person takes messages through it.

    `log`: what is known of the log of suppressions; without one all of it is read.
    """
    refusals = Refusals()
    for row in (log or PersonLog(lake, "suppressions")).of(user):
        if row["address_hash"] is None:
            refusals.add(user, row["channel"], row["reason"], round(row["since_ts"].timestamp() * 1e6))
    return {name: words.get(("channel", name), True) and not refusals.closed(user, name) for name in channels}


def choose(lake: Lake, user: str, wanted: Mapping[Choice, bool], at: datetime) -> set[Choice]:
    """Keep what a person chose; return what cannot be had: channels that were closed for good."""
    refused, rows = set[Choice](), list[dict[str, object]]()
    log = lake.read_log(CHOICES)
    # Machines' clocks differ, and what is chosen now must hold over what was chosen before.
    newest = pc.max(log.filter(pc.equal(log["user_id"], user))["updated_ts"]).as_py()
    moment = at if newest is None else max(at, newest + timedelta(microseconds=1))
    for (kind, name), is_yes in sorted(wanted.items()):
        if kind == "channel":
            try:
                if is_yes:
                    open_person(lake, user, name, at=at)
                else:
                    close_person(lake, user, name, for_good=False, at=at)
            except InvalidInput:
                refused.add((kind, name))
                continue
        row = {"user_id": user, "kind": kind, "name": name, "is_opted_in": is_yes, "updated_ts": moment}
        rows.append(row)
    if rows:
        lake.append_log(CHOICES, pa.Table.from_pylist(rows, schema=arrow.schema(dataset(CHOICES))))
    return refused


def compact_choices(lake: Lake, now: datetime) -> int:
    """Rewrite the log of choices without long superseded ones; return how many those are.

    Of languages and hours the newest of each name stays: what was taken back is the newest of its name.
    """
    return compact_words(lake, CHOICES, ("user_id", "kind", "name"), "updated_ts", now)

"""What people chose on their preferences page: topics and channels, yes or no.

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
from angelia.users.suppressions import close_person, open_person, refusals_of

Choice = tuple[str, str]  # kind (topic or channel), and its name
CHOICES = "preference_choices"
_COLUMNS = ["kind", "name", "is_opted_in", "updated_ts"]


def words_of(lake: Lake, user: str) -> dict[Choice, bool]:
    """Return a person's last word on each topic and channel that they said something about."""
    log = lake.read_log(CHOICES)
    rows = log.filter(pc.equal(log["user_id"], user)).select(_COLUMNS).to_pylist()
    leaves = lake.partitions("user_preferences")
    if leaves:
        commit = lake.require("user_preferences", **leaves[-1])
        rows += rows_of_user(lake, commit, user, _COLUMNS).to_pylist()
    # Of two words at one time no is the last, as the night reads them.
    rows.sort(key=lambda row: (row["updated_ts"], not row["is_opted_in"]))
    return {(row["kind"], row["name"]): bool(row["is_opted_in"]) for row in rows}


def openness(lake: Lake, user: str, channels: Iterable[str], words: Mapping[Choice, bool]) -> dict[str, bool]:
    """Say of each channel whether a person takes messages through it; the log is read once."""
    refusals = refusals_of(lake.read_log("suppressions"))
    return {name: words.get(("channel", name), True) and not refusals.closed(user, name) for name in channels}


def choose(lake: Lake, user: str, chosen: Mapping[Choice, bool], at: datetime) -> set[Choice]:
    """Keep what a person chose; return what cannot be had: channels that were closed for good."""
    refused, rows = set[Choice](), list[dict[str, object]]()
    log = lake.read_log(CHOICES)
    # Machines' clocks differ, and what is chosen now must hold over what was chosen before.
    newest = pc.max(log.filter(pc.equal(log["user_id"], user))["updated_ts"]).as_py()
    moment = at if newest is None else max(at, newest + timedelta(microseconds=1))
    for (kind, name), is_yes in sorted(chosen.items()):
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

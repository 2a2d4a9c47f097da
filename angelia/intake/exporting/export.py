"""Export to the lake what changed, by hour of acceptance, and what the next plan counts.

Grain: message; step of a message. Reads the intake database; writes intake_messages, intake_steps and
intake_pending, and calls what copies addresses and external ids. Surprise: an hour is exported again whenever
one of its messages changes, for a timed message perhaps years later; equal content makes no commit. A message
that the database has expired stays as it was last seen. Each file is written before the database is asked
again whose messages these are: either an erasure in between is seen here, and the hour is read again, or the
erasure sees the file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.contracts import arrow, dataset
from angelia.contracts.ids import message_id
from angelia.errors import Conflict
from angelia.intake.database import answering
from angelia.intake.dispatching.deciding import occurrence_of
from angelia.intake.exporting.changes import HOUR_MS, hour_name, hour_number, marked, unmark
from angelia.intake.exporting.pending import pending_messages
from angelia.intake.message import channels_of, now
from angelia.intake.people.addresses import export_addresses
from angelia.intake.people.external_ids import take_over
from angelia.intake.store import Row
from angelia.intake.tables import PRIORITIES, messages, steps
from angelia.lake import Lake

_TRIES = 5
MESSAGES, STEPS, PENDING = "intake_messages", "intake_steps", "intake_pending"


@dataclass
class Exported:
    """What a run wrote."""

    hours: int = 0  # hours of acceptance that were looked at
    commits: list[str] = field(default_factory=list)
    messages: int = 0  # in the hours that were looked at
    steps: int = 0
    pending: int = 0
    addresses: int = 0  # words on people's addresses
    external_ids: int = 0  # ids that were taken over

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return dict(vars(self))


def export(lake: Lake, engine: Engine, lead_hours: int, clock: Callable[[], int] = now) -> Exported:
    """Bring the lake's copy of the intake up to date.

    A run that is killed is completed by the next one. Of two runs at once the slower one is refused.

    Raises:
        Unavailable: the database does not answer; hours that were exported stay so.
        Conflict: another run exported the same hour meanwhile.
    """
    exported = Exported()
    with answering(engine):
        with engine.connect() as connection:
            tokens = marked(connection)  # before the rows are read: what changes later is marked anew
            fresh = list(_hours_since(connection, _first_open(lake), clock()))
        for hour in sorted({*tokens, *fresh}):
            _until_nobody_is_erased(functools.partial(_hour, lake, engine, hour, exported))
            exported.hours += 1
            unmark(engine, tokens.get(hour, []))
        closed = datetime.fromtimestamp(clock() / 1e6, UTC).date() - timedelta(days=1)
        _until_nobody_is_erased(functools.partial(_room, lake, engine, closed, lead_hours, clock(), exported))
    exported.addresses, commits = export_addresses(lake, engine)
    exported.commits += commits
    exported.external_ids = take_over(lake, engine)
    return exported


class PersonErased(Exception):
    """Somebody was erased between the reading of the database and the writing of a file."""


def _until_nobody_is_erased(write: Callable[[], None]) -> None:
    for _ in range(_TRIES):
        with suppress(PersonErased):
            write()
            return
    raise Conflict("people are erased again and again", fix="run the export again when that is over")


def _hour(lake: Lake, engine: Engine, hour: str, exported: Exported) -> None:
    """Export an hour of acceptance. Raises: PersonErased."""
    leaves = [Leaf(lake, name, {"ds": hour[:10], "accept_hour": hour}) for name in (MESSAGES, STEPS)]
    with engine.connect() as connection:
        rows, noted = _read(connection, hour)
    owner = {row["id"]: row["user_id"] for row in rows}

    def is_current() -> bool:
        with engine.connect() as connection:
            return all(owner.get(each, user) == user for each, user in _owners(connection, hour))

    n_messages = leaves[0].publish(exported, _messages(rows), set(owner), is_current)
    # A step names no person.
    exported.steps += leaves[1].publish(exported, _steps(rows, noted), set(owner), lambda: True)
    exported.messages += n_messages


def _room(lake: Lake, engine: Engine, closed: date, lead_hours: int, now_us: int, exported: Exported) -> None:
    """Export what the next plan counts. Raises: PersonErased."""
    leaf = Leaf(lake, PENDING, {"ds": closed.isoformat()})

    def read() -> list[Row]:
        with engine.connect() as connection:
            return pending_messages(connection, closed, lead_hours, now_us)

    room = read()
    users = {row["user_id"] for row in room}
    exported.pending = leaf.publish(
        exported, _table(PENDING, room), None, lambda: users <= {row["user_id"] for row in read()}
    )


class Leaf:
    """A leaf as it was before the database was read.

    Of two runs at once the slower one is refused.
    """

    def __init__(self, lake: Lake, name: str, partition: dict[str, str]) -> None:
        self._lake, self._name, self._partition = lake, name, partition
        self._before = lake.head(name, **partition)

    def publish(
        self, exported: Exported, table: pa.Table, ids: set[str] | None, is_current: Callable[[], bool]
    ) -> int:
        """Publish rows unless the leaf holds them already; return how many.

        Args:
            ids: messages the database still has; rows of others stay. None: no earlier row stays. is_current:
            says whether the database still has these people; asked once the file stands.

        Raises:
            PersonErased: it has not, or what the leaf held was rewritten meanwhile.
        """
        before = self._before
        if before is not None:
            rows = self._lake.read(before).cast(table.schema)
            if ids is not None:
                gone = pc.invert(pc.is_in(rows["intake_id"], pa.array(sorted(ids), pa.string())))
                table = pa.concat_tables([table, rows.filter(gone)]).combine_chunks()
            if table.equals(rows.combine_chunks()):
                return int(table.num_rows)
        elif not table.num_rows:
            return 0  # nothing waits; or an hour was marked, and expired since
        with self._lake.attempt(self._name, **self._partition) as attempt:
            attempt.write(table, "part-0000.parquet")
            # From here on an erasure sees the file; what was erased before, it has not seen.
            head = self._lake.head(self._name, **self._partition)
            is_rewritten = before and head and head.number == before.number and head.files != before.files
            if is_rewritten or not is_current():
                raise PersonErased
            commit = attempt.publish(expected=before.number if before is not None else 0)
        exported.commits.append(commit.ref)
        return int(table.num_rows)


def _first_open(lake: Lake) -> int:
    """Return the number of the first hour that may have messages not exported yet.

    A message that waited for its commit carries an earlier time, so the hour before the newest is open, too.
    """
    newest = max((leaf["accept_hour"] for leaf in lake.partitions(MESSAGES)), default=None)
    return 0 if newest is None else hour_number(newest) - 1


def _hours_since(connection: Connection, first: int, now_us: int) -> Iterator[str]:
    """Yield the hours with messages, from one on; hours without cost nothing."""
    clients = _clients(connection)
    number, c = first, messages.c
    while True:
        ids = [
            connection.execute(
                sa.select(sa.func.min(c.id)).where(c.client == client, c.id >= f"{number * HOUR_MS:012x}")
            ).scalar()
            for client in clients
        ]
        begun = [int(each[:12], 16) // HOUR_MS for each in ids if each is not None]
        # A time ahead of this clock is another machine's: its hour comes.
        if not begun or min(begun) * HOUR_MS * 1_000 > now_us:
            return
        yield hour_name(min(begun))
        number = min(begun) + 1


def _clients(connection: Connection) -> list[str]:
    """Return the clients that have messages.

    It jumps from key to key, since a list of distinct clients would read every row.
    """
    clients: list[str] = []
    while True:
        query = sa.select(sa.func.min(messages.c.client))
        if clients:
            query = query.where(messages.c.client > clients[-1])
        client = connection.execute(query).scalar()
        if client is None:
            return clients
        clients.append(client)


def _read(connection: Connection, hour: str) -> tuple[list[Row], list[Row]]:
    """Return an hour's messages and their steps."""
    first = hour_number(hour) * HOUR_MS
    rows: list[Row] = []
    noted: list[Row] = []
    for client in _clients(connection):
        for table, into in ((messages, rows), (steps, noted)):
            c = table.c
            inside = (c.client == client, c.id >= f"{first:012x}", c.id < f"{first + HOUR_MS:012x}")
            into += map(dict, connection.execute(sa.select(table).where(*inside)).mappings())
    known = {row["id"] for row in rows}
    # The two reads are not one instant on every database: steps of a message that is gone are nobody's.
    return rows, [step for step in noted if step["id"] in known]


def _owners(connection: Connection, hour: str) -> Iterator[tuple[str, str]]:
    """Yield each message of an hour and whose it is."""
    first, c = hour_number(hour) * HOUR_MS, messages.c
    for client in _clients(connection):
        inside = (c.client == client, c.id >= f"{first:012x}", c.id < f"{first + HOUR_MS:012x}")
        yield from map(tuple, connection.execute(sa.select(c.id, c.user_id).where(*inside)))


def _messages(rows: Sequence[Row]) -> pa.Table:
    return _table(
        MESSAGES,
        [
            {
                "intake_id": row["id"],
                "message_id": message_id(row["campaign_id"], row["user_id"], occurrence_of(row["id"])),
                "client": row["client"],
                "user_id": row["user_id"],
                "campaign_id": row["campaign_id"],
                "class": row["class"],
                "priority": PRIORITIES[row["priority"]],
                "channels": channels_of(row),
                "n_variable_bytes": len(row["variables"]),  # ASCII
                "accepted_ts": row["accepted_us"],
                "send_ts": row["send_us"],
                "expires_ts": row["expires_us"] or None,
                "status": row["status"],
                "status_ts": row["status_us"],
            }
            for row in sorted(rows, key=lambda row: str(row["id"]))
        ],
    )


def _steps(rows: Sequence[Row], noted: Sequence[Row]) -> pa.Table:
    """Return every step, those that a message's own row tells included."""
    every = [
        *((row["id"], "accepted", None, row["accepted_us"], None) for row in rows),
        *((row["id"], "claimed", None, row["claimed_us"], None) for row in rows if row["claimed_us"]),
        *(
            (row["id"], "cancelled", None, row["status_us"], None)
            for row in rows
            if row["status"] == "cancelled"
        ),
        *(
            (step["id"], step["step"], step["channel"] or None, step["at_us"], step["reason"] or None)
            for step in noted
        ),
    ]
    names = ("intake_id", "step", "channel", "at_ts", "reason")
    ordered = sorted(every, key=lambda step: (step[0], step[3], step[1], step[2] or ""))
    return _table(STEPS, [dict(zip(names, step, strict=True)) for step in ordered])


def _table(name: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    schema = arrow.schema(dataset(name))
    return pa.table(
        {field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}, schema
    )

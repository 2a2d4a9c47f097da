"""What leaves the intake database: people who are erased, and messages long over.

Grain: message. An erased person's messages stay, and stay counted. Writes messages, steps, sends, codes and
their uses, addresses and external ids. Surprise: what has not left yet is refused as suppressed; a batch that
a dispatcher is deciding about is waited for, so that its messages stand in the lake, where the same erasure
goes on, or nowhere.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.config import load_settings
from angelia.contracts.outcomes import SUPPRESSED
from angelia.intake.database import Unavailable, answering, connect, kept, writing
from angelia.intake.dispatching.steps import OutcomeStep, note_steps
from angelia.intake.exporting.changes import mark
from angelia.intake.message import now
from angelia.intake.repeating import used_keys
from angelia.intake.store import change, forget_addresses, slices
from angelia.intake.tables import (
    addresses,
    batches,
    code_uses,
    codes,
    external_ids,
    key_runs,
    message_addresses,
    messages,
    sends,
    steps,
    trigger_events,
    trigger_moots,
)

_DECIDING_S = 10.0  # a dispatcher decides about a batch in less; one that died is taken over later
_LOOK_S = 0.2
_NAMING = (messages, sends, trigger_events, trigger_moots, addresses, external_ids)
_SLICE = 2_000  # messages a transaction: writers wait for some milliseconds


def configured() -> IntakePeople | None:
    """Return the people of this installation's intake, None if it has no database."""
    return IntakePeople(connect(load_settings().intake_url())) if is_used() else None


def is_used() -> bool:
    """Say whether this installation's intake has a database.

    One on a server is taken to be used.
    """
    url = sa.make_url(load_settings().intake_url())
    return url.get_backend_name() != "sqlite" or bool(url.database and Path(url.database).exists())


class IntakePeople:
    """The people whom an intake database names; see `lake.erasing.erase.Elsewhere`."""

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], int] = now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine, self._clock, self._sleep = engine, clock, sleep

    def holds(self, users: set[str]) -> set[str]:
        """Return those of these people who are named here."""
        named: set[str] = set()
        with answering(self.engine), self.engine.connect() as connection:
            for table in _NAMING:
                for part in slices(sorted(users)):
                    query = sa.select(table.c.user_id).where(table.c.user_id.in_(part)).distinct()
                    named |= set(connection.execute(query).scalars())
        return named

    def erase(self, tombstones: Mapping[str, str]) -> dict[str, int]:
        """Put each person's tombstone in their place; return how many rows of each table changed."""
        for _ in range(round(_DECIDING_S / _LOOK_S)):
            if not self._is_deciding(tombstones):
                break
            self._sleep(_LOOK_S)
        changed = Counter[str]()
        for user, tombstone in tombstones.items():
            changed += kept(self.engine, partial(self._erase, user=user, tombstone=tombstone))
        if self.engine.dialect.name == "sqlite":
            self._rewrite_file()  # though nothing changed: an erasure that died may have changed it
        return dict(+changed)

    def _erase(self, connection: Connection, user: str, tombstone: str) -> Counter[str]:
        n_messages, n_codes = self._messages(connection, user, tombstone)
        changed = Counter({"intake_messages": n_messages, "intake_codes": n_codes})
        moved = sa.update(sends).where(sends.c.user_id == user).values(user_id=tombstone)
        changed["intake_sends"] = connection.execute(moved).rowcount
        # What waits for its moment sets nothing off any more, and counts nobody needs stand there.
        connection.execute(sa.delete(trigger_moots).where(trigger_moots.c.user_id == user))
        for table in (trigger_events, addresses, external_ids):
            gone = sa.delete(table).where(table.c.user_id == user)
            changed[table.name] = connection.execute(gone).rowcount
        return changed

    def _rewrite_file(self) -> None:
        """Write SQLite's file anew.

        An update leaves the bytes before it in free space and in the write-ahead log.
        """
        raw = self.engine.raw_connection()  # the driver's own: neither statement runs in a transaction
        try:
            cursor = raw.cursor()
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                cursor.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            raise Unavailable(
                f"the intake's file could not be written anew ({error})",
                fix="run the same command again while few messages come in, with as much free disk as it has",
            ) from None
        finally:
            raw.close()

    def _is_deciding(self, tombstones: Mapping[str, str]) -> bool:
        """Say whether one of their messages is in a batch that is neither sealed nor left behind."""
        in_batch = sa.select(sa.literal(1)).select_from(
            messages.join(batches, messages.c.claimed_by == batches.c.id)
        )
        in_batch = in_batch.where(
            messages.c.status == "claimed",
            batches.c.is_open == 1,
            batches.c.is_sealed == 0,
            batches.c.lease_us > self._clock(),
        )
        with answering(self.engine), self.engine.connect() as connection:
            return any(
                connection.execute(in_batch.where(messages.c.user_id.in_(part)).limit(1)).first() is not None
                for part in slices(sorted(tombstones))
            )

    def _messages(self, connection: Connection, user: str, tombstone: str) -> tuple[int, int]:
        at_us, c = self._clock(), messages.c
        query = sa.select(c.client, c.id, c.status).where(c.user_id == user)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        # Neither text of the client's stays: a body's hash can be guessed from the id, and keys may hold it.
        change(
            connection,
            rows,
            user_id=tombstone,
            variables="{}",
            key_hash=None,
            body_hash=f"erased-{secrets.token_hex(8)}",
        )
        if connection.dialect.name == "sqlite":
            used_keys.wipe(connection, [row["id"] for row in rows])
        mark(connection, (row["id"] for row in rows))
        waiting = [row for row in rows if row["status"] == "accepted"]
        change(connection, waiting, status="refused", status_us=at_us, is_open=0)
        note_steps(
            connection,
            [
                OutcomeStep(row["client"], row["id"], "refused", at_us, "refused", SUPPRESSED)
                for row in waiting
            ],
        )
        forget_addresses(connection, [(row["client"], row["id"]) for row in rows])
        n_codes = 0
        for part in slices([row["id"] for row in rows]):
            n_codes += connection.execute(sa.delete(codes).where(codes.c.id.in_(part))).rowcount
            connection.execute(sa.delete(code_uses).where(code_uses.c.id.in_(part)))
        return len(rows), n_codes


def expire(engine: Engine, before_us: int) -> Counter[str]:
    """Delete messages that were accepted, and over, before an instant; count rows by table.

    What is on its way, or due later, stays whatever its age. Each slice is a transaction: a call that is
    killed is completed by the next one.
    """
    gone: Counter[str] = Counter()
    c, oldest_id = messages.c, f"{before_us // 1000:012x}"
    with answering(engine), engine.connect() as connection:
        clients = connection.execute(sa.select(c.client).distinct()).scalars().all()
    for client in clients:
        over = sa.select(c.id, c.user_id).where(
            *(c.client == client, c.id < oldest_id, c.status_us < before_us),
            c.status.not_in(("accepted", "claimed", "queued")),
        )
        # Past its own expiry a message that nobody claimed is over, though nobody marked it.
        lapsed = sa.and_(c.status == "accepted", c.expires_us > 0, c.expires_us < before_us)
        old = sa.union_all(
            over, sa.select(c.id, c.user_id).where(c.client == client, c.id < oldest_id, lapsed)
        )
        while slice_gone := kept(engine, partial(_delete_slice, client=client, old=old)):
            gone += slice_gone
    if engine.dialect.name == "sqlite":
        _delete_runs(engine, clients, oldest_id)
    # Uses are found by whom they count, so they are gone through once, and not once a slice of messages.
    _delete_uses(engine, before_us)
    with answering(engine), writing(engine) as connection:
        closed = sa.delete(batches).where(batches.c.is_open == 0, batches.c.made_us < before_us)
        gone[batches.name] += connection.execute(closed).rowcount
    return +gone


def _delete_slice(
    connection: Connection, client: str, old: sa.CompoundSelect[tuple[str, str]]
) -> Counter[str]:
    """Delete a slice of a client's old messages; return rows by table, nothing if none is left."""
    gone: Counter[str] = Counter()
    owners = {row.id: row.user_id for row in connection.execute(old.limit(_SLICE))}
    for part in slices(list(owners)):
        # The index of sends begins with the person; by message each slice would read all of them.
        theirs = sends.c.user_id.in_({owners[message] for message in part})
        mine = sa.delete(sends).where(theirs, sends.c.client == client, sends.c.id.in_(part))
        gone[sends.name] += connection.execute(mine).rowcount
        for table in (messages, steps, codes, message_addresses):
            mine = sa.delete(table).where(table.c.client == client, table.c.id.in_(part))
            gone[table.name] += connection.execute(mine).rowcount
    return gone


def _delete_runs(engine: Engine, clients: Sequence[str], oldest_id: str) -> None:
    """Delete runs of keys none of whose messages is kept."""
    with answering(engine), engine.connect() as connection:
        old = [
            number
            for number, ids in used_keys.ids_by_run(connection, oldest_id)
            if not any(_are_kept(connection, clients, part) for part in slices(ids))
        ]
    for start in range(0, len(old), _SLICE):
        with answering(engine), writing(engine) as connection:
            part = old[start : start + _SLICE]
            connection.execute(sa.delete(key_runs).where(key_runs.c.number.in_(part)))


def _are_kept(connection: Connection, clients: Sequence[str], ids: Sequence[str]) -> bool:
    c = messages.c
    query = sa.select(c.id).where(c.client.in_(clients), c.id.in_(ids)).limit(1)
    return connection.execute(query).first() is not None


def _delete_uses(engine: Engine, before_us: int) -> None:
    """Delete uses of codes before an instant, a 256th of their hexadecimal key at a time."""
    c = code_uses.c
    for first in range(256):
        part = [c.used_by >= f"{first:02x}"] if first else []
        part += [c.used_by < f"{first + 1:02x}"] if first < 255 else []
        with answering(engine), writing(engine) as connection:
            connection.execute(sa.delete(code_uses).where(*part, c.at_us < before_us))

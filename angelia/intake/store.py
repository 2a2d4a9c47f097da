"""Messages in the database: accept many drafts at once, read, cancel.

Grain: message. `dispatching/batches.py` takes what is due and writes what became of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.intake.database import answering, insert_rows, kept
from angelia.intake.exporting.changes import mark
from angelia.intake.message import Draft, Refusal
from angelia.intake.people.external_ids import owners_of
from angelia.intake.repeating import used_keys
from angelia.intake.repeating.used_keys import UsedKeys
from angelia.intake.tables import message_addresses, messages, steps

_AT_ONCE = 500  # keys a lookup: below every database's limit of parameters
_CONFLICT = Refusal("idempotency_conflict", "idempotency_key", "this key came with another body before")
_NOBODY = Refusal("unknown_external_id", "external_id", "nobody is linked to this id")

_LOOKS_AFTER = 100  # groups whose keys are looked up first after one that was used before

Row = dict[str, Any]
_Known = dict[tuple[str, str], tuple[str, int, str]]  # (client, key) -> (id, accepted, body)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is durable; `repeated` if an earlier request brought it."""

    id: str
    accepted_us: int
    repeated: bool


Verdict = Accepted | Refusal


class IntakeStore:
    """The messages of all clients; safe to use from several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._looks = engine, 0
        self._used = UsedKeys() if engine.dialect.name == "sqlite" else None

    def accept(self, drafts: Sequence[Draft]) -> list[Verdict]:
        """Return a verdict for each draft; the accepted are durable when this returns.

        Raises:
            Unavailable: the database did not answer; whether it kept anything is unknown.
        """
        # Most keys are new, and a server's index says so as it takes them. A refusal has to be looked up: the
        # first answer to its key may have been another. After a repeated key the next groups are looked up.
        looks = (
            self._used is not None
            or self._looks > 0
            or any(draft.refusal is not None or draft.external is not None for draft in drafts)
        )
        self._looks = max(0, self._looks - 1)
        # Outside of the transaction, so that other writers need not wait for a process that begins.
        if self._used is not None and not self._used.has_read:
            self.read_keys()

        def write(connection: Connection) -> list[Verdict]:
            nonlocal looks
            _name_people(connection, drafts)
            known = _known(connection, drafts, self._used) if looks else {}
            verdicts, rows = _judge(known, drafts)
            try:
                insert_rows(connection, messages, rows)
            except sa.exc.IntegrityError:
                # The key was used before, or by another process meanwhile: now it can be looked up.
                self._looks, looks = _LOOKS_AFTER, True
                raise
            if self._used is not None:
                used_keys.keep(connection, rows)
            _keep_addresses(connection, drafts, verdicts)
            return verdicts

        return kept(self._engine, write)

    def read_keys(self) -> None:
        """Read the keys that were used before, so that the first message need not wait for it.

        Raises:
            Unavailable: the database did not answer.
        """
        if self._used is not None:
            with answering(self._engine), self._engine.connect() as connection:
                self._used.catch_up(connection)

    def get(self, client: str, message_id: str) -> Row | None:
        """Return a client's message, None if it has no such message."""
        query = sa.select(messages).where(messages.c.client == client, messages.c.id == message_id)
        with answering(self._engine), self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else dict(row)

    def steps(self, client: str, ids: Sequence[str]) -> dict[str, list[Row]]:
        """Return what dispatchers noted of a client's messages, by message, oldest first."""
        noted: dict[str, list[Row]] = {}
        with answering(self._engine), self._engine.connect() as connection:
            for part in slices(ids):
                query = sa.select(steps).where(steps.c.client == client, steps.c.id.in_(part))
                for row in connection.execute(query.order_by(steps.c.at_us)).mappings():
                    noted.setdefault(row["id"], []).append(dict(row))
        return noted

    def newest(
        self,
        client: str,
        now_us: int,
        *,
        status: str | None = None,
        campaigns: Sequence[str] | None = None,
        channel: str | None = None,
        from_us: int | None = None,
        to_us: int | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return a client's messages, the newest first, accepted in [from, to) and before an id.

        Args:
            channel: only those that went, or were to go, through it.
        """
        query = sa.select(messages).where(messages.c.client == client)
        # An id begins with its millisecond, so a range of time is a range of the primary key.
        if from_us is not None:
            query = query.where(messages.c.id >= f"{-(-from_us // 1000):012x}")
        if to_us is not None:
            query = query.where(messages.c.id < f"{-(-to_us // 1000):012x}")
        if before is not None:
            query = query.where(messages.c.id < before)
        if campaigns is not None:
            query = query.where(messages.c.campaign_id.in_(campaigns))
        if channel is not None:
            c = steps.c
            through = sa.select(c.id).where(c.client == client, c.id == messages.c.id, c.channel == channel)
            query = query.where(through.exists())
        if status is not None:
            query = query.where(_has_status(status, now_us))
        query = query.order_by(messages.c.id.desc()).limit(limit)
        with answering(self._engine), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def cancel(self, client: str, message_id: str, now_us: int) -> bool:
        """Cancel a message that is unclaimed and not expired; return whether this did it."""
        change = (
            sa.update(messages)
            .where(messages.c.client == client, messages.c.id == message_id)
            .where(_has_status("accepted", now_us))
            .values(status="cancelled", status_us=now_us, is_open=0)
        )

        def write(connection: Connection) -> bool:
            is_mine = connection.execute(change).rowcount == 1
            if is_mine:
                mark(connection, [message_id])
                forget_addresses(connection, [(client, message_id)])
            return is_mine

        return kept(self._engine, write)


def effective_status(row: Row, now_us: int) -> str:
    """Return a message's status; past its expiry it has expired, marked or not."""
    is_over = 0 < row["expires_us"] <= now_us and row["status"] == "accepted"
    return "expired" if is_over else str(row["status"])


def _has_status(status: str, now_us: int) -> sa.ColumnElement[bool]:
    is_over = sa.and_(messages.c.expires_us > 0, messages.c.expires_us <= now_us)
    if status == "accepted":
        return sa.and_(messages.c.status == "accepted", sa.not_(is_over))
    if status == "expired":
        return sa.or_(messages.c.status == "expired", sa.and_(messages.c.status == "accepted", is_over))
    return messages.c.status == status


def _judge(known: _Known, drafts: Sequence[Draft]) -> tuple[list[Verdict], list[Row]]:
    """Return a verdict for each draft, and the rows to insert; `known` are used keys."""
    verdicts: list[Verdict] = []
    rows: list[Row] = []
    for draft in drafts:
        row = draft.row
        key = (row["client"], row["key_hash"])
        earlier = known.get(key) if row["key_hash"] is not None else None
        if earlier is not None:
            message_id, accepted_us, body_hash = earlier
            is_same = body_hash == row["body_hash"]
            verdicts.append(Accepted(message_id, accepted_us, True) if is_same else _CONFLICT)
        elif draft.refusal is not None:
            verdicts.append(draft.refusal)
        else:
            rows.append(row)
            verdicts.append(Accepted(row["id"], row["accepted_us"], False))
            if row["key_hash"] is not None:
                known[key] = (row["id"], row["accepted_us"], row["body_hash"])
    return verdicts, rows


def _name_people(connection: Connection, drafts: Sequence[Draft]) -> None:
    """Put people in the rows of drafts that name them by another system's id."""
    foreign = [draft for draft in drafts if draft.external is not None]
    owners = owners_of(connection, [draft.external for draft in foreign if draft.external]) if foreign else {}
    for draft in foreign:
        user = owners.get(draft.external) if draft.external else None
        if user is not None:
            draft.row["user_id"] = user
        elif draft.refusal is None:
            draft.refusal = _NOBODY


def _keep_addresses(connection: Connection, drafts: Sequence[Draft], verdicts: Sequence[Verdict]) -> None:
    """Keep where accepted messages go that name an address."""
    kept = [
        {"client": draft.row["client"], "id": draft.row["id"], "channel": draft.to[0], "address": draft.to[1]}
        for draft, verdict in zip(drafts, verdicts, strict=True)
        if draft.to is not None and isinstance(verdict, Accepted) and verdict.id == draft.row["id"]
    ]
    if kept:
        connection.execute(sa.insert(message_addresses), kept)


def forget_addresses(connection: Connection, members: Iterable[tuple[str, str]]) -> None:
    """Delete where messages (client, id) were to go."""
    by_client: dict[str, list[str]] = {}
    for client, message in members:
        by_client.setdefault(client, []).append(message)
    c = message_addresses.c
    for client, ids in by_client.items():
        for part in slices(ids):
            connection.execute(sa.delete(message_addresses).where(c.client == client, c.id.in_(part)))


def _known(connection: Connection, drafts: Sequence[Draft], used: UsedKeys | None) -> _Known:
    """Return (client, key) -> (id, accepted, body) of the drafts' keys that were used before."""
    by_client: dict[str, set[str]] = {}
    for draft in drafts:
        if draft.row["key_hash"] is not None:
            by_client.setdefault(draft.row["client"], set()).add(draft.row["key_hash"])
    c = messages.c
    known: _Known = {}
    # On a server the index of keys says it; otherwise their messages are named by the runs.
    sought = by_client if used is None else used.bearers(connection, by_client)
    column = c.key_hash if used is None else c.id
    for client, values in sought.items():
        for batch in slices(sorted(values)):
            query = sa.select(c.key_hash, c.id, c.accepted_us, c.body_hash).where(
                c.client == client, column.in_(batch)
            )
            for key, message_id, accepted_us, body in connection.execute(query):
                known[client, key] = (message_id, accepted_us, body)
    return known


def change(
    connection: Connection, rows: Sequence[Row], where: sa.ColumnElement[bool] | None = None, **values: Any
) -> int:
    """Set values in rows named by their key, where a condition holds; return how many."""
    by_client: dict[str, list[str]] = {}
    for row in rows:
        by_client.setdefault(row["client"], []).append(row["id"])
    changed = 0
    for client, ids in by_client.items():
        for part in slices(ids):
            change = sa.update(messages).where(messages.c.client == client, messages.c.id.in_(part))
            if where is not None:
                change = change.where(where)
            changed += connection.execute(change.values(**values)).rowcount
    return changed


def slices(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield values in pieces that every database takes as parameters of one statement."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]

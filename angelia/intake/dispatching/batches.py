"""Batches of due messages: claimed by one dispatcher, renewed, taken over.

Grain: batch. Reads and writes the intake database. Surprise: a batch keeps its messages for good, whoever
holds it: a message never moves from a batch that may be sealed into another. Only what was found not to be in
the sealed commit is put back.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.delivery.ledger.ledger import Owner
from angelia.errors import Conflict
from angelia.intake.database import answering, fetched, insert_rows, kept, writing
from angelia.intake.dispatching.due import EVERY, due_query, due_range, share_out
from angelia.intake.dispatching.steps import OutcomeStep, apply, note_steps
from angelia.intake.exporting.changes import mark
from angelia.intake.message import is_by_address
from angelia.intake.store import Row, change, forget_addresses, slices
from angelia.intake.tables import batches, message_addresses, messages, sends

# What a row of steps says beside the words of statuses: it waits, or came back by itself.
POSTPONED = "postponed"


class Lost(Conflict):
    """Another dispatcher took the batch over; nothing was written."""


@dataclass(frozen=True)
class IntakeBatch:
    """Messages that one dispatcher holds."""

    id: str
    holder: str
    is_sealed: bool
    tries: int
    ds: str
    send_hour: str
    members: tuple[tuple[str, str], ...]  # (client, id)
    claimed: tuple[Row, ...] = field(default=(), compare=False, repr=False)  # as they were just read


@dataclass(frozen=True)
class IntakeSend:
    """A message that is about to be handed to the worker, under the id it has there."""

    message_id: str
    client: str
    id: str
    user_id: str
    campaign_id: str
    at_us: int


_SEND = tuple(each.name for each in fields(IntakeSend))  # `asdict` copies deeply, at ten times the cost


class Batches:
    """The batches of all dispatchers, as one of them sees them."""

    def __init__(self, engine: Engine, owner: Owner, lease_us: int) -> None:
        self._engine, self._owner, self._lease_us = engine, owner, lease_us

    def claim(
        self, now_us: int, limit: int, ds: str, send_hour: str, priorities: Sequence[int] = EVERY
    ) -> tuple[IntakeBatch | None, int]:
        """Return a new batch of due messages, and how many had expired on the way.

        High before medium before low, but a fifth of a batch is medium's and a tenth low's, if they have it.
        """
        with answering(self._engine), writing(self._engine) as connection:
            due = [
                self._due(connection, priority, now_us, limit) if priority in priorities else []
                for priority in EVERY
            ]
            taken: list[Row] = []
            for rows, share in zip(due, share_out([len(rows) for rows in due], limit), strict=True):
                taken += rows[:share]
            expired = [row for row in taken if 0 < row["expires_us"] <= now_us]
            live = [row for row in taken if not 0 < row["expires_us"] <= now_us]
            # In the same transaction: another dispatcher must not claim what expired here.
            change(connection, expired, status="expired", status_us=now_us, is_open=0)
            note_steps(
                connection,
                [
                    OutcomeStep(row["client"], row["id"], "expired", now_us, None, "expired")
                    for row in expired
                ],
            )
            forget_addresses(
                connection, [(row["client"], row["id"]) for row in expired if is_by_address(row)]
            )
            if not live:
                return None, len(expired)
            batch = IntakeBatch(
                secrets.token_hex(16),
                secrets.token_hex(16),
                False,
                0,
                ds,
                send_hour,
                tuple((row["client"], row["id"]) for row in live),
                tuple(live),
            )
            connection.execute(sa.insert(batches), self._row(batch, now_us))
            change(
                connection,
                live,
                status="claimed",
                status_us=now_us,
                claimed_us=now_us,
                claimed_by=batch.id,
                is_open=0,
            )
        return batch, len(expired)

    def take_over(self, now_us: int, limit: int = 16) -> IntakeBatch | None:
        """Return an open batch whose lease is over or whose holder is provably dead, now ours."""
        c = batches.c
        with answering(self._engine), self._engine.connect() as connection:
            query = sa.select(batches).where(c.is_open == 1).order_by(c.lease_us).limit(limit)
            rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            if row["lease_us"] > now_us and not (row["owner"] and _is_dead(row["owner"])):
                continue
            holder = secrets.token_hex(16)
            mine = sa.update(batches).where(c.id == row["id"], c.holder == row["holder"], c.is_open == 1)
            mine = mine.values(
                holder=holder,
                owner=self._owner_text(),
                lease_us=now_us + self._lease_us,
                tries=row["tries"] + 1,
            )
            with answering(self._engine), writing(self._engine) as connection:
                if connection.execute(mine).rowcount == 1:
                    return _batch(row | {"holder": holder, "tries": row["tries"] + 1})
        return None

    def renew(self, held: Iterable[IntakeBatch], now_us: int) -> None:
        """Move the end of the leases of these batches, as far as they are still ours."""
        c = batches.c
        names = [(batch.id, batch.holder) for batch in held]

        def write(connection: Connection) -> None:
            for name, holder in names:
                mine = sa.update(batches).where(c.id == name, c.holder == holder)
                connection.execute(mine.values(lease_us=now_us + self._lease_us))

        kept(self._engine, write)

    def rows(self, batch: IntakeBatch) -> list[Row]:
        """Return the batch's messages that are still to be decided or followed, in their order."""
        if batch.claimed:
            return list(batch.claimed)
        known: dict[tuple[str, str], Row] = {}
        by_client: dict[str, list[str]] = {}
        for client, message in batch.members:
            by_client.setdefault(client, []).append(message)
        with answering(self._engine), self._engine.connect() as connection:
            for client, ids in by_client.items():
                for part in slices(ids):
                    query = sa.select(messages).where(
                        messages.c.client == client,
                        messages.c.id.in_(part),
                        messages.c.claimed_by == batch.id,
                    )
                    known |= {(client, row["id"]): row for row in fetched(connection, query)}
        return [known[member] for member in batch.members if member in known]

    def addresses(self, rows: Iterable[Row]) -> dict[tuple[str, str], tuple[str, str]]:
        """Return (client, id) -> (channel, address) of messages that name an address."""
        by_client: dict[str, list[str]] = {}
        for row in rows:
            by_client.setdefault(row["client"], []).append(row["id"])
        addresses: dict[tuple[str, str], tuple[str, str]] = {}
        c = message_addresses.c
        with answering(self._engine), self._engine.connect() as connection:
            for client, ids in by_client.items():
                for part in slices(ids):
                    query = sa.select(message_addresses).where(c.client == client, c.id.in_(part))
                    for row in fetched(connection, query):
                        addresses[client, row["id"]] = row["channel"], row["address"]
        return addresses

    def name_people(self, batch: IntakeBatch, rows: Sequence[Row]) -> None:
        """Write whose the addresses of these messages are, before anything is made of it."""

        def name(connection: Connection) -> None:
            for row in rows:
                change(connection, [row], user_id=row["user_id"])
            mark(connection, (row["id"] for row in rows))

        self._held(batch, name)

    def reserve(self, batch: IntakeBatch, wanted: Sequence[IntakeSend]) -> None:
        """Write the sends of a batch, so that other dispatchers' caps count them."""

        def insert(connection: Connection) -> None:
            # Of a batch just claimed nothing is there yet.
            ids = [] if batch.claimed else [send.message_id for send in wanted]
            present = _present(connection, sends.c.message_id, ids)
            fresh = [_fields(send) for send in wanted if send.message_id not in present]
            insert_rows(connection, sends, fresh)

        self._held(batch, insert)

    def sent_to(self, users: Sequence[str], since_us: int) -> list[tuple[IntakeSend, bool]]:
        """Return what people were sent since an instant, and whether that is settled.

        What is reserved in a batch that is not sealed yet may still be refused.
        """
        pairs: list[tuple[IntakeSend, bool]] = []
        of_message = sa.and_(messages.c.client == sends.c.client, messages.c.id == sends.c.id)
        with answering(self._engine), self._engine.connect() as connection:
            for part in slices(users):
                query = sa.select(sends, messages.c.status).join(messages, of_message)
                query = query.where(sends.c.user_id.in_(part), sends.c.at_us >= since_us)
                for row in fetched(connection, query):
                    is_settled = row.pop("status") not in ("accepted", "claimed")
                    pairs.append((IntakeSend(**row), is_settled))
        return pairs

    def find(self, message_ids: Sequence[str]) -> dict[str, IntakeSend]:
        """Return the sends of these messages, by the ids they have in the lake."""
        by_message: dict[str, IntakeSend] = {}
        with answering(self._engine), self._engine.connect() as connection:
            for part in slices(message_ids):
                query = sa.select(sends).where(sends.c.message_id.in_(part))
                by_message |= {row["message_id"]: IntakeSend(**row) for row in fetched(connection, query)}
        return by_message

    def seal(
        self,
        batch: IntakeBatch,
        noted: Sequence[OutcomeStep],
        postponed: Sequence[tuple[Row, int, str]],
        unreserved: Sequence[str],
        now_us: int,
        forgotten: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write what was decided of a batch: queued and refused steps, and what comes back later.

        Args:
            noted: steps with the status that follows from them.
            forgotten: (client, id) of messages whose address is not needed any more.
            postponed: (message, when it is due again, why).
            unreserved: ids in the lake of the messages that were reserved and are not sent.
        """

        def write(connection: Connection) -> None:
            apply(connection, noted)
            _put_back(connection, postponed, now_us)
            forget_addresses(connection, forgotten)
            _unreserve(connection, unreserved)
            connection.execute(sa.update(batches).where(batches.c.id == batch.id).values(is_sealed=1))

        self._held(batch, write)

    def note(
        self, batch: IntakeBatch, noted: Sequence[OutcomeStep], unreserved: Sequence[str], *, is_over: bool
    ) -> None:
        """Write what became of a batch's messages; `is_over` closes it for good."""

        def write(connection: Connection) -> None:
            apply(connection, noted)
            _unreserve(connection, unreserved)
            if is_over:
                connection.execute(sa.update(batches).where(batches.c.id == batch.id).values(is_open=0))

        self._held(batch, write)

    def rest(self, batch: IntakeBatch, until_us: int) -> None:
        """Give a batch that is not over back, for any dispatcher to go on with from an instant on."""
        c = batches.c
        mine = sa.update(batches).where(c.id == batch.id, c.holder == batch.holder)
        with answering(self._engine), writing(self._engine) as connection:
            connection.execute(mine.values(owner="", lease_us=until_us))

    def note_receipts(self, noted: Sequence[OutcomeStep]) -> int:
        """Write what came back from providers and phones; return how much of it is new."""
        return kept(self._engine, lambda connection: apply(connection, noted))

    def waiting(self, now_us: int) -> dict[str, int]:
        """Return how many messages are due and how many batches are open."""
        with answering(self._engine), self._engine.connect() as connection:
            due = sum(
                connection.execute(
                    sa.select(sa.func.count()).select_from(due_range(priority, now_us))
                ).scalar_one()
                for priority in EVERY
            )
            is_open = sa.select(sa.func.count()).select_from(batches).where(batches.c.is_open == 1)
            return {"due": due, "open_batches": connection.execute(is_open).scalar_one()}

    def _due(self, connection: Connection, priority: int, now_us: int, limit: int) -> list[Row]:
        query = due_query(priority, now_us, limit)
        if connection.dialect.name != "sqlite":  # SQLite has one writer at a time anyway
            query = query.with_for_update(skip_locked=True)
        return fetched(connection, query)

    def _held(self, batch: IntakeBatch, write: Callable[[Connection], None]) -> None:
        """Write in a transaction in which the batch is ours, and renew its lease. Raises: Lost."""
        c = batches.c
        mine = sa.update(batches).where(c.id == batch.id, c.holder == batch.holder)

        def write_as_holder(connection: Connection) -> None:
            # A value that changes: MariaDB does not count a row that stays as it is.
            if connection.execute(mine.values(lease_us=c.lease_us + 1)).rowcount != 1:
                raise Lost("another dispatcher took the batch over", fix="nothing: it goes on with it")
            write(connection)

        kept(self._engine, write_as_holder)

    def _row(self, batch: IntakeBatch, now_us: int) -> Row:
        return {
            "id": batch.id,
            "holder": batch.holder,
            "owner": self._owner_text(),
            "lease_us": now_us + self._lease_us,
            "is_open": 1,
            "is_sealed": 0,
            "tries": 0,
            "made_us": now_us,
            "ds": batch.ds,
            "send_hour": batch.send_hour,
            "members": "\n".join(f"{client}/{message}" for client, message in batch.members),
        }

    def _owner_text(self) -> str:
        return json.dumps(asdict(self._owner))


def _fields(send: IntakeSend) -> Row:
    return {name: getattr(send, name) for name in _SEND}


def _batch(row: Row) -> IntakeBatch:
    members = tuple(
        (client, message)
        for client, _, message in (line.partition("/") for line in row["members"].split("\n"))
    )
    return IntakeBatch(
        row["id"], row["holder"], bool(row["is_sealed"]), row["tries"], row["ds"], row["send_hour"], members
    )


def _is_dead(owner: str) -> bool:
    return Owner(**json.loads(owner)).is_dead()


def _present(connection: Connection, column: sa.Column[str], values: Sequence[str]) -> set[str]:
    return {
        value
        for part in slices(values)
        for value in connection.execute(sa.select(column).where(column.in_(part))).scalars()
    }


def _put_back(connection: Connection, postponed: Sequence[tuple[Row, int, str]], now_us: int) -> None:
    by_time: dict[int, list[Row]] = {}
    for row, due_us, _ in postponed:
        by_time.setdefault(due_us, []).append(row)
    for due_us, rows in by_time.items():
        change(connection, rows, status="accepted", status_us=now_us, is_open=1, due_us=due_us, claimed_by="")
    # Its step may be there from an earlier time; the status changes nevertheless.
    mark(connection, (row["id"] for row, _, _ in postponed))
    note_steps(
        connection,
        [OutcomeStep(row["client"], row["id"], POSTPONED, now_us, None, why) for row, _, why in postponed],
    )


def _unreserve(connection: Connection, message_ids: Sequence[str]) -> None:
    for part in slices(message_ids):
        connection.execute(sa.delete(sends).where(sends.c.message_id.in_(part)))

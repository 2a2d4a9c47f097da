"""Ids of people in other systems, by which messages may name them.

Grain: namespace x external id, which is one person's. Reads and writes the table `intake_external_ids`; takes
over the newest snapshot of `external_ids`. Surprise: a snapshot adds and moves ids, and ends none; where it
and a client differ, the later statement holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.contracts.sending import Micros
from angelia.intake.database import answering, kept, writing
from angelia.intake.errors import refused
from angelia.intake.tables import external_ids, imports
from angelia.lake import Lake

EXTERNAL_IDS = "external_ids"
ExternalId = tuple[str, str]  # namespace, and the id there
_AT_ONCE = 500  # ids a statement: below every database's limit of parameters
_ROWS = 10_000  # of a snapshot a transaction: writers wait for some tenths of a second


class ExternalIds:
    """The owners of ids in other systems."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, user: str) -> dict[str, list[str]]:
        """Return a person's ids by namespace."""
        c = external_ids.c
        query = sa.select(c.namespace, c.external_id).where(c.user_id == user)
        known: dict[str, list[str]] = {}
        with answering(self._engine), self._engine.connect() as connection:
            for namespace, external in connection.execute(query.order_by(c.namespace, c.external_id)):
                known.setdefault(namespace, []).append(external)
        return known

    def replace(self, user: str, wanted: Mapping[str, Sequence[str]], now_us: Micros) -> None:
        """Keep a client's word: these are a person's ids in these namespaces.

        Raises:
            Refused: one of them is another person's; nothing was kept.
        """
        pairs = [(namespace, each) for namespace, listed in wanted.items() for each in dict.fromkeys(listed)]
        kept(self._engine, lambda connection: _replace(connection, user, list(wanted), pairs, now_us))


def _replace(
    connection: Connection, user: str, namespaces: list[str], pairs: Sequence[ExternalId], now_us: Micros
) -> None:
    c = external_ids.c
    owners = owners_of(connection, pairs)
    if set(owners.values()) - {user}:
        raise refused("external_id_taken", "an id is another person's: end it there first", "external_ids")
    mine = sa.select(c.namespace, c.external_id).where(c.user_id == user, c.namespace.in_(namespaces))
    for namespace, external in {(row[0], row[1]) for row in connection.execute(mine)} - set(pairs):
        ended = (c.namespace == namespace, c.external_id == external)
        connection.execute(sa.delete(external_ids).where(*ended))
    fresh = [_row(pair, user, now_us) for pair in pairs if pair not in owners]
    if fresh:
        connection.execute(sa.insert(external_ids), fresh)


def owners_of(connection: Connection, pairs: Sequence[ExternalId]) -> dict[ExternalId, str]:
    """Return the owner of each id that has one."""
    c = external_ids.c
    by_namespace: dict[str, list[str]] = {}
    for namespace, external in dict.fromkeys(pairs):
        by_namespace.setdefault(namespace, []).append(external)
    owners: dict[ExternalId, str] = {}
    for namespace, ids in by_namespace.items():
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            query = sa.select(c.external_id, c.user_id).where(
                c.namespace == namespace, c.external_id.in_(part)
            )
            owners |= {(namespace, external): user for external, user in connection.execute(query)}
    return owners


def take_over(lake: Lake, engine: Engine) -> int:
    """Take over the newest snapshot of `external_ids`, once; return how many ids changed.

    A run that is killed is completed by the next one.
    """
    leaves = lake.partitions(EXTERNAL_IDS)
    if not leaves:
        return 0
    commit = lake.require(EXTERNAL_IDS, **leaves[-1])
    of = imports.c.dataset == EXTERNAL_IDS
    with answering(engine), engine.connect() as connection:
        if connection.execute(sa.select(imports.c.ref).where(of)).scalar() == commit.ref:
            return 0
    n_changed = 0
    for entry in commit.files:
        for batch in lake.read_file(entry).to_batches(max_chunksize=_ROWS):
            n_changed += kept(engine, partial(_merge, batch=batch))
    with answering(engine), writing(engine) as connection:
        connection.execute(sa.delete(imports).where(of))
        connection.execute(sa.insert(imports), {"dataset": EXTERNAL_IDS, "ref": commit.ref})
    return n_changed


def _merge(connection: Connection, batch: pa.RecordBatch) -> int:
    """Insert a snapshot's rows, and move ids whose word here is older."""
    c, words = external_ids.c, dict[ExternalId, tuple[Micros, str]]()
    columns = (batch.column(name).to_pylist() for name in ("namespace", "external_id", "user_id"))
    at_us = batch.column("linked_ts").cast(pa.int64()).to_pylist()
    for namespace, external, user, at in zip(*columns, at_us, strict=True):
        pair = namespace, external
        words[pair] = max((at, user), words.get(pair, (at, user)))
    owners = owners_of(connection, list(words))
    fresh = [_row(pair, user, at) for pair, (at, user) in words.items() if pair not in owners]
    if fresh:
        connection.execute(sa.insert(external_ids), fresh)
    moved = 0
    for pair, user in owners.items():
        at, now_of = words[pair]
        if now_of != user:
            older = (c.namespace == pair[0], c.external_id == pair[1], c.linked_us < at)
            change = sa.update(external_ids).where(*older).values(user_id=now_of, linked_us=at)
            moved += connection.execute(change).rowcount
    return len(fresh) + moved


def _row(pair: ExternalId, user: str, at_us: Micros) -> dict[str, object]:
    return {"namespace": pair[0], "external_id": pair[1], "user_id": user, "linked_us": at_us}

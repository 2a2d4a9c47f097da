"""The intake database: connecting, and making its tables on first use.

SQLite writes ahead and waits for the disk at each commit (`synchronous=FULL`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from angelia.databases import make_engine, writing
from angelia.errors import AngeliaError
from angelia.intake.repeating import used_keys
from angelia.intake.tables import REVISION, messages, metadata, schema

Kept = TypeVar("Kept")
_TRIES = 3
_RACE_S = (0.1, 0.4, 1.5)  # until what another process began is complete
_MEETINGS, _PAUSE_S = 10, 0.01  # with writers that wait for each other: 10 ms more after each
_CONNECT_S = 5
_OLD_DUE = "intake_due"
_RUN_ROWS = 5_000  # keys of older messages a run
_FOLLOWER_CONNECT_S = 2  # a reader waits for it, and then for the leader
__all__ = [
    "Unavailable",
    "answering",
    "change_rows",
    "connect",
    "fetched",
    "follow",
    "insert_rows",
    "writing",
]


class Unavailable(AngeliaError):
    """The database did not answer; nothing of this call was acknowledged."""


def connect(url: str) -> Engine:
    """Return an engine on an intake database whose tables exist.

    Raises:
        InvalidInput: the address is not a SQLAlchemy URL, or its driver is not installed.
        AngeliaError: the database does not answer, or newer code made its tables.
    """
    engine = _engine(url, "ANGELIA_INTAKE")
    with answering(engine):
        revision = _revision(engine)
        if revision is None or revision < REVISION:
            # Two processes may come at once: the slower one fails while the other is still at it.
            for wait_s in (*_RACE_S, None):
                with suppress(DBAPIError):
                    _complete(engine)
                is_whole = not _missing(engine) and _has_indices(engine)
                if is_whole or wait_s is None:
                    break
                time.sleep(wait_s)
            # Unlike a lost race, a user without the right to alter tables must not pass for the new revision.
            if not is_whole:
                raise AngeliaError(
                    "the intake database lacks columns or indices, and they could not be added",
                    fix="allow the database user of ANGELIA_INTAKE to alter tables, once",
                )
            with suppress(sa.exc.IntegrityError), writing(engine) as connection:
                connection.execute(sa.insert(schema), {"revision": REVISION})
            revision = _revision(engine)
    if revision is None:
        raise AngeliaError(
            "the intake database has no tables, and they could not be made",
            fix="allow the database user of ANGELIA_INTAKE to create tables",
        )
    if revision != REVISION:
        raise AngeliaError(
            f"the intake database has schema {revision}, this code knows {REVISION}",
            fix="use the version of angelia that made it",
        )
    return engine


def follow(url: str) -> Engine:
    """Return an engine on a database that follows the intake's own, and may be down.

    Raises:
        InvalidInput: the address is not a SQLAlchemy URL, or its driver is not installed.
        AngeliaError: other code made its tables.
    """
    engine = _engine(url, "ANGELIA_INTAKE_FOLLOWER", connect_s=_FOLLOWER_CONNECT_S)
    with suppress(Unavailable), answering(engine):
        revision = _revision(engine)
        # Without tables it is asked in vain until it has caught up; no table is made there.
        if revision not in (None, REVISION):
            raise AngeliaError(
                f"the intake's follower has schema {revision}, this code knows {REVISION}",
                fix="give ANGELIA_INTAKE_FOLLOWER a database that follows the one of ANGELIA_INTAKE",
            )
    return engine


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Turn a database that does not answer into one line, without its password.

    Raises:
        Unavailable: as said.
    """
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except SQLAlchemyError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise Unavailable(
            f"the intake database at {shown} does not answer ({type(error).__name__})",
            fix="check ANGELIA_INTAKE, the server and its disk",
        ) from None


def is_deadlock(error: sa.exc.DBAPIError) -> bool:
    """Return whether a server ended one of two transactions that waited for each other.

    Nothing of it was kept, so it can be tried again.
    """
    given = error.orig
    return given is not None and (getattr(given, "sqlstate", None) == "40P01" or given.args[:1] == (1213,))


def kept(engine: Engine, write: Callable[[Connection], Kept]) -> Kept:
    """Return what a transaction returns; one that another writer's ends is tried again.

    Raises:
        Unavailable: the database did not answer; whether it kept anything is unknown.
    """
    clashes = meetings = 0
    with answering(engine):
        while True:
            try:
                with writing(engine) as connection:
                    return write(connection)
            except sa.exc.DBAPIError as error:
                if is_deadlock(error):
                    # Whom it waited for goes on, and is done after a while; at once they would meet again.
                    meetings += 1
                    time.sleep(meetings * _PAUSE_S)
                elif isinstance(error, sa.exc.IntegrityError):
                    clashes += 1  # the same rows were written meanwhile, which the next look shows
                else:
                    raise
                if clashes >= _TRIES or meetings >= _MEETINGS:
                    raise


def insert_rows(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have all columns, by the driver.

    Numbers and texts need no work on each value.
    """
    if not rows:
        return
    statement, order, sizes = _insert_of(table, connection.dialect)
    if order is None:
        connection.exec_driver_sql(statement, list(rows))
        return
    values = list(map(itemgetter(*order), rows))
    if not sizes:
        connection.exec_driver_sql(statement, values)
        return
    at = 0
    for number, several in sizes.items():
        while len(values) - at >= number:
            connection.exec_driver_sql(several, tuple(chain(*values[at : at + number])))
            at += number


def change_rows(connection: Connection, statement: sa.Update, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run an update for the values of each row, by the driver."""
    compiled = statement.compile(dialect=connection.dialect)
    order = getattr(compiled, "positiontup", None)
    fixed = compiled.params
    full = [fixed | row for row in rows]
    values = full if order is None else list(map(itemgetter(*order), full))
    connection.exec_driver_sql(str(compiled), values)


def fetched(connection: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of a query as dictionaries, as the driver gives them.

    Numbers and texts need no work on each value, and no row object (5.0 to 4.6 ms for 500 due messages).
    """
    result = connection.execute(query)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.cursor.fetchall()]


@lru_cache(maxsize=32)
def _insert_of(table: sa.Table, dialect: Dialect) -> tuple[str, tuple[str, ...] | None, dict[int, str]]:
    """Return a table's insert, the order of its values, and SQLite's inserts of many rows.

    Rows of one statement are written without a hand-over of the interpreter for each. `OR FAIL` spares the
    copy of every page that a statement of many rows may have to undo: an error ends the transaction anyway.
    """
    compiled = sa.insert(table).compile(dialect=dialect)
    statement, order = str(compiled), getattr(compiled, "positiontup", None)
    if order is None or dialect.name != "sqlite":
        return statement, None if order is None else tuple(order), {}
    head, _, row = statement.partition(" VALUES ")
    head = head.replace("INSERT INTO", "INSERT OR FAIL INTO", 1)
    sizes = (256, 128, 64, 32, 16, 8, 4, 2, 1)
    return statement, tuple(order), {size: f"{head} VALUES {', '.join([row] * size)}" for size in sizes}


def _engine(url: str, variable: str, connect_s: int = _CONNECT_S) -> Engine:
    return make_engine(
        url,
        variable,
        "the intake database",
        connect_s=connect_s,
        options={},
        # Under MariaDB's default a range read locks gaps, and two writers of new rows would deadlock.
        on_server={"isolation_level": "READ COMMITTED", "pool_pre_ping": True},
        # What was answered survives a power cut. With room to keep pages, and rarer checkpoints, a page is
        # written once for many rows (16 to 13 µs a row). Pages are read where the system keeps them: what is
        # due lies anywhere in the file, and each row copied its page first (6.5 to 5 ms for 500 rows).
        pragmas=(
            *("journal_mode=WAL", "synchronous=FULL"),
            *("cache_size=-65536", "wal_autocheckpoint=4000", "mmap_size=8589934592"),
        ),
    )


def _complete(engine: Engine) -> None:
    """Make the tables and the columns that a database lacks."""
    # In a transaction that writes from its beginning, so that a slower process waits for the whole.
    with writing(engine) as connection:
        metadata.create_all(connection)
    for column in _missing(engine):
        with engine.begin() as connection:
            operations = Operations(MigrationContext.configure(connection))
            operations.add_column(column.table.name, sa.Column(column.name, column.type))
    if not _has_indices(engine):
        with writing(engine) as connection:
            _renew_indices(connection)


def _renew_indices(connection: Connection) -> None:
    """Bring the indices of an older revision's messages to this one."""
    operations = Operations(MigrationContext.configure(connection))
    if _OLD_DUE in _indices(connection):
        operations.drop_index(_OLD_DUE, table_name=messages.name)
    if connection.dialect.name == "sqlite" and sa.inspect(connection).get_unique_constraints(messages.name):
        # SQLite takes a constraint from a table only by writing the table anew.
        with operations.batch_alter_table(messages.name, recreate="always") as table:
            table.drop_constraint("intake_idempotency", type_="unique")
        c = messages.c
        query = sa.select(c.client, c.id, c.key_hash).where(c.key_hash.is_not(None)).order_by(c.client, c.id)
        for rows in connection.execute(query).mappings().partitions(_RUN_ROWS):
            used_keys.keep(connection, rows)
    # At the end, since it is taken for the sign that all is done.
    _due_index().create(connection)


def _due_index() -> sa.Index:
    return next(index for index in messages.indexes if index.name == "intake_due_open")


def _has_indices(engine: Engine) -> bool:
    with engine.connect() as connection:
        return _due_index().name in _indices(connection)


def _indices(connection: Connection) -> set[str | None]:
    return {index["name"] for index in sa.inspect(connection).get_indexes(messages.name)}


def _missing(engine: Engine) -> list[sa.Column[Any]]:
    """Return the columns that tables lack; one that is not there lacks none."""
    standing: dict[str, set[str]] = {}
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        for name in inspector.get_table_names():
            standing[name] = {column["name"] for column in inspector.get_columns(name)}
    tables = [table for table in metadata.sorted_tables if table.name in standing]
    return [column for table in tables for column in table.columns if column.name not in standing[table.name]]


def _revision(engine: Engine) -> int | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(schema.name):
            return None
        revision = connection.execute(sa.select(sa.func.max(schema.c.revision))).scalar()
    return None if revision is None else int(revision)

"""The intake database: connecting, and making its tables on first use.

SQLite writes ahead and waits for the disk at each commit (`synchronous=FULL`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from angelia.databases import make_engine, writing
from angelia.errors import AngeliaError
from angelia.intake.tables import REVISION, metadata, schema

_CONNECT_S = 5
__all__ = ["Unavailable", "answering", "connect", "writing"]


class Unavailable(AngeliaError):
    """The database did not answer; nothing of this call was acknowledged."""


def connect(url: str) -> Engine:
    """Return an engine on an intake database whose tables exist.

    Raises:
        InvalidInput: the address is not a SQLAlchemy URL, or its driver is not installed.
        AngeliaError: the database does not answer, or newer code made its tables.
    """
    engine = _engine(url)
    with answering(engine):
        revision = _revision(engine)
        if revision is None or revision < REVISION:
            # Two processes may come at once; the slower one's failure only says that the tables exist by now.
            with suppress(DBAPIError):
                metadata.create_all(engine)
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


def _engine(url: str) -> Engine:
    return make_engine(
        url,
        "ANGELIA_INTAKE",
        "the intake database",
        connect_s=_CONNECT_S,
        options={},
        # Under MariaDB's default a range read locks gaps, and two writers of new rows would deadlock.
        on_server={"isolation_level": "READ COMMITTED", "pool_pre_ping": True},
        # What was answered survives a power cut. Clients' keys lie anywhere in their index: with room to keep
        # its pages, and rarer checkpoints, a page is written once for many rows (16 to 13 µs a row).
        pragmas=("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "wal_autocheckpoint=4000"),
    )


def _revision(engine: Engine) -> int | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(schema.name):
            return None
        revision = connection.execute(sa.select(sa.func.max(schema.c.revision))).scalar()
    return None if revision is None else int(revision)

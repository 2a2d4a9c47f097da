"""The intake database: connecting, and making its tables on first use.

SQLite writes ahead and waits for the disk at each commit (`synchronous=FULL`): what was answered survives a
power cut. A write begins with `BEGIN IMMEDIATE`, since a lock taken later may fail at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from angelia.errors import AngeliaError, InvalidInput
from angelia.intake.tables import REVISION, metadata, schema

_WAIT_S = 30
_CONNECT_S = 5
# SQLAlchemy's drivers for plain addresses are others than the ones we ship.
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}


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


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction that writes."""
    with engine.execution_options(angelia_write=True).begin() as connection:
        yield connection


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        options: dict[str, Any] = {"pool_pre_ping": True}
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise InvalidInput(
                    "the intake database cannot live in memory",
                    fix="give ANGELIA_INTAKE a file: sqlite:////path/intake.db",
                )
            Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
            options["connect_args"] = {"timeout": _WAIT_S, "check_same_thread": False}
        elif parsed.get_driver_name() in ("psycopg", "pymysql"):
            options["connect_args"] = {"connect_timeout": _CONNECT_S}
            # Under MariaDB's default a range read locks gaps, and two writers of new rows would deadlock.
            options["isolation_level"] = "READ COMMITTED"
        engine = sa.create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError):
        raise InvalidInput(
            "ANGELIA_INTAKE is no SQLAlchemy URL", fix="write sqlite:////path/intake.db, or postgresql://…"
        ) from None
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"ANGELIA_INTAKE needs the driver {error.name}", fix=f"pip install {error.name}"
        ) from None
    except OSError as error:
        raise AngeliaError(
            f"cannot make the folder of the intake database: {error.strerror}",
            fix="give ANGELIA_INTAKE a file in a folder that can be written",
        ) from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("angelia_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


def _revision(engine: Engine) -> int | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(schema.name):
            return None
        revision = connection.execute(sa.select(sa.func.max(schema.c.revision))).scalar()
    return None if revision is None else int(revision)

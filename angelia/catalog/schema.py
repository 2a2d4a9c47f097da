"""The catalog database: connecting, and creating or upgrading its schema on first use.

Two processes may arrive at an empty database at once: each dialect's own lock lets one migrate and the other
wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from angelia.catalog.tables import REVISION, VERSION_TABLE
from angelia.databases import WAIT_S, address, make_engine, writing
from angelia.errors import AngeliaError

_LOCK = 4_711_202  # any number, the same in every process
_CONNECT_S = 10
_VARIABLE = "ANGELIA_CATALOG"


def connect(url: str) -> Engine:
    """Return an engine on a catalog whose schema is current.

    A SQLite file and its folder are created if absent.

    Raises:
        InvalidInput: the address is not a SQLAlchemy URL, or its driver is not installed.
        AngeliaError: the database does not answer, or its schema is newer than this code.
    """
    engine = _engine(url)
    with reachable(engine):
        with engine.connect() as connection:
            revision = _revision(connection)
        if revision != REVISION:
            if revision is not None and revision not in _revisions():
                raise _newer(revision)
            migrate(engine, "head")
    return engine


def standing(url: str) -> tuple[str, str]:
    """Return the kind of database and the state of its schema, in words; change nothing.

    Raises:
        InvalidInput, AngeliaError: see `connect`.
    """
    engine = _engine(url)
    with reachable(engine), engine.connect() as connection:
        revision = _revision(connection)
    if revision is not None and revision not in _revisions():
        raise _newer(revision)
    state = "empty, its tables are made on first use" if revision is None else f"schema {revision}"
    return engine.dialect.name, state if revision in (None, REVISION) else f"{state}, upgraded on first use"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite address, None for another database.

    Raises:
        InvalidInput: the address is not a SQLAlchemy URL.
    """
    parsed = address(url, _VARIABLE)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def migrate(engine: Engine, target: str) -> None:
    """Bring the schema to a revision (`head`, `base`, or a number), up or down, under a lock."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("angelia.catalog") / "migrations").replace("%", "%%"))
    with reachable(engine), locked(engine) as connection:
        config.attributes["connection"] = connection
        known = _revisions()
        now = _revision(connection)
        goal = {"head": REVISION, "base": None}.get(target, target)
        if now == goal:
            return
        upwards = goal is not None and (now is None or known.index(goal) > known.index(now))
        (command.upgrade if upwards else command.downgrade)(config, target)


@contextmanager
def reachable(engine: Engine) -> Iterator[None]:
    """Turn a database that does not answer into one line, without its password.

    Raises:
        AngeliaError: as said.
    """
    try:
        yield
    except OperationalError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise AngeliaError(
            f"the catalog at {shown} does not answer: {_one_line(error)}",
            fix="check ANGELIA_CATALOG, the server and its disk",
        ) from None
    except DBAPIError as error:
        if isinstance(error, sa.exc.IntegrityError):
            raise
        raise AngeliaError(f"the catalog refused: {_one_line(error)}") from None


@contextmanager
def locked(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction, the only writer of the catalog while it lasts."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        elif engine.dialect.name in (
            "mysql",
            "mariadb",
        ):  # its DDL commits at once, so the lock belongs to the connection
            got = connection.execute(
                sa.text("SELECT GET_LOCK('angelia_catalog', :wait)"), {"wait": WAIT_S}
            ).scalar()
            if got != 1:
                raise AngeliaError(
                    f"the catalog was locked by another writer for {WAIT_S} s", fix="try again"
                )
        yield connection


def _engine(url: str) -> Engine:
    return make_engine(url, _VARIABLE, "the catalog", connect_s=_CONNECT_S, options={"poolclass": NullPool})


def _newer(revision: str) -> AngeliaError:
    return AngeliaError(
        f"the catalog's schema {revision} is not known here",
        fix="it was upgraded by a newer angelia: install that one",
    )


def _one_line(error: DBAPIError) -> str:
    """Return what the driver said: its words without its number, lines joined."""
    message = error.orig.args[-1] if error.orig is not None and error.orig.args else error.orig
    return " ".join(str(message).split())


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 (a constant)
    return None if revision is None else str(revision)


def _revisions() -> list[str]:
    names = (entry.name for entry in (files("angelia.catalog") / "migrations" / "versions").iterdir())
    return sorted(name[1:5] for name in names if name.startswith("r") and name.endswith(".py"))

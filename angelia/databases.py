"""SQL databases by address: SQLite, PostgreSQL, MariaDB; troubles in one line.

The catalog and the intake connect here. Surprise: SQLite begins explicitly (`BEGIN IMMEDIATE` for writes),
since its driver would neither put DDL into a transaction nor take the lock early, and a later one may fail.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from angelia.errors import AngeliaError, InvalidInput

WAIT_S = 30
# Of every table: MariaDB and MySQL compare texts byte for byte, as the other databases do.
TABLE_OPTIONS: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
# SQLAlchemy's drivers for plain addresses are others than the ones we ship.
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}


def address(url: str, variable: str) -> URL:
    """Return a parsed address with the driver we ship.

    Raises:
        InvalidInput: it is not a SQLAlchemy URL; the message names the variable, not the address.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise _no_url(variable) from None
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def make_engine(
    url: str,
    variable: str,
    title: str,
    *,
    connect_s: int,
    options: Mapping[str, Any],
    on_server: Mapping[str, Any] | None = None,
    pragmas: Sequence[str] = (),
) -> Engine:
    """Return an engine; a SQLite file's folder is made if absent, and nothing is connected yet.

    Args:
        variable: the setting that holds the address, and `title`: the database in words, for messages.
        connect_s: how long a server may take to answer.
        options: of SQLAlchemy's engine; `on_server` those for servers alone.
        pragmas: of each SQLite connection.

    Raises:
        InvalidInput: the address is not a SQLAlchemy URL, or its driver is not installed.
        AngeliaError: the folder cannot be made.
    """
    parsed = address(url, variable)
    given: dict[str, Any] = dict(options)
    try:
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise InvalidInput(
                    f"{title} cannot live in memory", fix=f"give {variable} a file: sqlite:////path/name.db"
                )
            Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
            given["connect_args"] = {"timeout": WAIT_S, "check_same_thread": False}
        elif parsed.get_driver_name() in ("psycopg", "pymysql"):
            given |= {"connect_args": {"connect_timeout": connect_s}} | dict(on_server or {})
        engine = sa.create_engine(parsed, **given)
    except (ArgumentError, NoSuchModuleError):
        raise _no_url(variable) from None
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{variable} needs the driver {error.name}", fix=f"pip install {error.name}"
        ) from None
    except OSError as error:
        raise AngeliaError(
            f"cannot make the folder of {title}: {error.strerror}",
            fix=f"give {variable} a file in a folder that can be written",
        ) from None
    # The driver would begin a transaction only at the first write; `_begin` says which kind it is.
    if engine.dialect.name == "sqlite":

        def prepare(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # the driver begins nothing by itself
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        sa.event.listen(engine, "connect", prepare)
        sa.event.listen(engine, "begin", _begin)
    elif parsed.get_driver_name() == "pymysql":
        sa.event.listen(engine, "do_connect", _connect_mariadb)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction that writes."""
    # Said of the connection: an engine of its own options costs a third of a small transaction to make.
    with engine.connect() as connection, connection.execution_options(angelia_write=True).begin():
        yield connection


def _connect_mariadb(dialect: Any, _record: object, words: Sequence[Any], given: dict[str, Any]) -> Any:
    return _with_one_context(dialect.loaded_dbapi.connections.Connection)(*words, **given)


@functools.cache
def _with_one_context(plain: Any) -> Any:
    """Return pymysql's connection class with one TLS context for all.

    Where the address asks nothing of TLS, pymysql takes what the server offers and checks no certificate; yet
    for each connection it loads the system's authorities anew, 52 ms of processor.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def make(self: Any, asked: Any) -> ssl.SSLContext:
        return cast(ssl.SSLContext, plain._create_ssl_ctx(self, asked)) if asked else context

    return type("Connection", (plain,), {"_create_ssl_ctx": make})


def _begin(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("angelia_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


def _no_url(variable: str) -> InvalidInput:
    return InvalidInput(
        f"{variable} is not a SQLAlchemy URL",
        fix="e.g. sqlite:////path/name.db or postgresql://user@host/name",
    )

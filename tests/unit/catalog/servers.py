"""PostgreSQL and MariaDB for tests, started once a worker.

The programs are this machine's; each server listens on loopback, in a folder of its own, and is stopped by
process id. A machine without one skips its tests and says so; where CI is set, or CATALOG_SERVERS=required
(`make test-databases`), that is a failure.
"""

from __future__ import annotations

import functools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from angelia.catalog.store import CatalogStore
from angelia.catalog.tables import metadata
from angelia.databases import make_engine, writing

START_S = 90.0  # bounds the wait, decides nothing: a loaded machine needs a few seconds


class Server:
    """One running database server of the test session."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url

    @functools.cached_property
    def migrated(self) -> str:
        """The address of the session's one catalog with its tables; it goes with the server."""
        name = f"catalog_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        url = self.url.set(database=name).render_as_string(hide_password=False)
        CatalogStore.open(url)
        return url

    def emptied(self) -> str:
        """Return the address of that catalog without a row: quicker than making a new one."""
        with writing(CatalogStore.open(self.migrated).engine) as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
        return self.migrated

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the address of a new database; drop it afterwards."""
        name = f"catalog_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            force = " WITH (FORCE)" if self.url.get_backend_name() == "postgresql" else ""
            self.execute(f"DROP DATABASE {name}{force}")

    def execute(self, statement: str) -> None:
        """Run one statement outside of any transaction."""
        with _engine(self.url, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(statement)


def _engine(url: sa.URL, **options: object) -> sa.Engine:
    # As the code under test connects: a plain engine to MariaDB costs 50 ms a connection more.
    given = {"poolclass": sa.pool.NullPool, **options}
    return make_engine(str(url.render_as_string(False)), "URL", "the server", connect_s=10, options=given)


def _program(server: str, names: Sequence[str], pattern: str) -> str:
    """Return the path of a server's program; without it skip, in CI fail."""
    places = os.pathsep.join(
        [
            os.environ.get("PATH", ""),
            "/usr/sbin",
            "/usr/local/sbin",
            *map(str, sorted(Path("/").glob(pattern), reverse=True)),
        ]
    )
    for name in names:
        program = shutil.which(name, path=places)
        if program:
            return program
    package = "postgresql" if server == "PostgreSQL" else "mariadb-server"
    reason = f"no {server} on this machine ({' or '.join(names)}; Debian: apt-get install {package})"
    if os.environ.get("CI") or os.environ.get("CATALOG_SERVERS") == "required":
        pytest.fail(f"{reason}; no store may be skipped here")
    pytest.skip(reason)


def _as() -> dict[str, object]:
    """Return how to start a server: never as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a folder of the servers' user; pytest's own lie below one that only root may enter."""
    folder = Path(
        tempfile.mkdtemp(prefix="catalog-", dir="/tmp" if os.geteuid() == 0 else None)
    )  # root's TMPDIR may be closed to others, too
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=START_S,
        env=_environment(folder),
        **_as(),
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder), "LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(
    folder: Path, command: Callable[[int], list[str]], url: Callable[[int], sa.URL], stop: signal.Signals
) -> Iterator[Server]:
    log = folder / "server.log"
    with_us = (
        ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    )  # it ends when pytest is killed
    for attempt in range(3):  # somebody may take the port between the look and the start
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*with_us, *command(port)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(folder),
                **_as(),
            )
        try:
            if _answers(process, url(port), last=attempt == 2, log=log):
                yield Server(url(port))
                return
        finally:
            if process.poll() is None:
                process.send_signal(stop)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _answers(process: subprocess.Popen[bytes], url: sa.URL, last: bool, log: Path) -> bool:
    engine = _engine(url)
    until = time.monotonic() + START_S
    while True:
        ended = process.poll() is not None
        try:
            if not ended:
                engine.connect().close()
                return True
        except sa.exc.OperationalError:
            pass
        if ended and not last:
            return False
        if ended or time.monotonic() > until:
            pytest.fail(
                f"the server {'ended' if ended else 'does not answer'}: "
                f"{log.read_text(errors='replace')[-3000:]}"
            )
        time.sleep(0.1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    initdb = _program("PostgreSQL", ["initdb"], "usr/lib/postgresql/*/bin")
    postgres = _program("PostgreSQL", ["postgres"], "usr/lib/postgresql/*/bin")
    password = secrets.token_hex(8)
    with _folder() as folder:
        (folder / "password").write_text(password)
        (folder / "password").chmod(0o644)  # the folder itself is closed to others
        data = str(folder / "data")
        _run(
            folder,
            initdb,
            "-D",
            data,
            "-U",
            "angelia",
            "-A",
            "scram-sha-256",
            "--pwfile",
            "password",
            "--locale=C",
            "-E",
            "UTF8",
            "--no-sync",
        )

        def url(port: int) -> sa.URL:
            return sa.URL.create("postgresql+psycopg", "angelia", password, "127.0.0.1", port, "postgres")

        with _running(folder, _postgres(postgres, data), url, signal.SIGQUIT) as server:
            yield server


def _postgres(program: str, data: str) -> Callable[[int], list[str]]:
    options = ["fsync=off", "shared_buffers=16MB", "unix_socket_directories=", "listen_addresses=127.0.0.1"]
    words = [part for option in options for part in ("-c", option)]
    return lambda port: [program, "-D", data, "-p", str(port), *words]


@contextmanager
def replica_of(leader: Server, database: str) -> Iterator[str]:
    """Yield the address of a database at a server that streams all changes from another one."""
    backup = _program("PostgreSQL", ["pg_basebackup"], "usr/lib/postgresql/*/bin")
    postgres = _program("PostgreSQL", ["postgres"], "usr/lib/postgresql/*/bin")
    url = sa.make_url(database)
    source = f"host=127.0.0.1 port={url.port} user={url.username} password={url.password}"
    with _folder() as folder:
        data = str(folder / "data")
        _run(folder, backup, "-d", source, "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        with _running(
            folder, _postgres(postgres, data), lambda port: url.set(port=port), signal.SIGQUIT
        ) as server:
            yield server.url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    install = _program("MariaDB", ["mariadb-install-db"], "usr/local/mysql/scripts")
    mariadbd = _program("MariaDB", ["mariadbd"], "usr/libexec")
    password = secrets.token_hex(8)
    with _folder() as folder:
        data = str(folder / "data")
        _run(
            folder,
            install,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-log-bin",
        )
        (folder / "begin.sql").write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{password}';\n"
            f"CREATE OR REPLACE USER angelia@'127.0.0.1' IDENTIFIED BY '{password}';\nGRANT ALL "
            f"ON *.* TO angelia@'127.0.0.1';\n"
        )
        # Without the distribution's settings its default character set is latin1: our tables must not depend
        # on it.
        options = [
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--bind-address=127.0.0.1",
            "--socket=socket",
        ]

        def command(port: int) -> list[str]:
            return [
                mariadbd,
                "--no-defaults",
                f"--datadir={data}",
                f"--port={port}",
                f"--init-file={folder / 'begin.sql'}",
                "--skip-name-resolve",
                *options,
            ]

        def url(port: int) -> sa.URL:
            return sa.URL.create("mysql+pymysql", "angelia", password, "127.0.0.1", port)

        with _running(folder, command, url, signal.SIGKILL) as server:
            yield server

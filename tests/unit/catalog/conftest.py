"""A small whole catalog as YAML, and stores for it: SQLite, PostgreSQL and MariaDB.

The two servers are started for the test session from the programs of this machine, on loopback, in a folder
of their own, and stopped by process id. A machine without one skips its tests and says so; where CI is set,
or CATALOG_SERVERS=required (`make test-databases`), that is a failure. Each test has a database of its own.
"""

from __future__ import annotations

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

START_S = 90.0  # bounds the wait, decides nothing: a loaded machine needs a few seconds

SMALL = """\
kind: policy
id: default
holdout: {share_pct: 2.0, salt: g}
explore: {slot_share_pct: 5.0, epsilon: 0.1}
salt: s
---
kind: channel
id: fcm
provider: fcm_v1
capacity_per_hour: 100
quota_per_minute: 100
---
kind: channel
id: sms
provider: twilio
enabled: false
capacity_per_hour: 100
quota_per_minute: 100
---
kind: audience
id: everyone
predicate: "reachable('fcm')"
---
kind: audience
id: women
predicate: "in_audience('everyone') AND gender = 'f'"
---
kind: template
id: sale
channel: fcm
variables: {item: {}, level: {source: user.membership_level, default: 0}}
variants:
  en: {title: "Sale: {{ item }}", body: "{% if level >= 2 %}Members first. {% endif %}{{ item }} for less."}
  de: {title: "Angebot: {{ item }}", body: "{{ item }} im Angebot"}
link: "https://shop.example/{{ category }}?c={{ campaign_id }}"
---
kind: material
id: sale_camera
template: sale
category: camera
fields: {item: cameras}
---
kind: material
id: sale_books
template: sale
category: books
fields: {item: books}
---
kind: experiment
id: copy
salt: c
arms: [{name: a, share_pct: 50}, {name: b, share_pct: 50, materials: [sale_books]}]
---
kind: campaign
id: sale
name: Sale
topic: promo
owner: growth
audience: women
materials: [sale_camera, sale_books]
channels: [fcm, sms]
value_per_open: 0.05
occurrence: {every: weekly, weekdays: [sat, sun]}
start_date: 2026-11-01
end_date: 2036-11-30
send_window: {start: 9, end: 21}
holdout_pct: 5
experiment: copy
"""


class Server:
    """One running database server of the test session."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url

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
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


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
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
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


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def catalog_url(
    request: pytest.FixtureRequest, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Yield the address of an empty catalog on each store.

    Commands read it from ANGELIA_CATALOG; SQLite is their default.
    """
    if request.param == "sqlite":
        yield f"sqlite:///{settings_home / 'catalog.db'}"
        return
    server: Server = request.getfixturevalue(request.param)
    with server.database() as url:
        monkeypatch.setenv("ANGELIA_CATALOG", url)
        yield url


@pytest.fixture
def store(catalog_url: str) -> CatalogStore:
    return CatalogStore.open(catalog_url)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the small catalog, edited by (old, new) pairs, to a folder.

    Each call makes a new folder and returns it.
    """

    def write_edited(*edits: tuple[str, str], more: str = "") -> Path:
        text = SMALL
        for old, new in edits:
            assert text.count(old) >= 1, old
            text = text.replace(old, new, 1)
        folder = tmp_path / f"campaigns {len(list(tmp_path.glob('campaigns *')))}"
        folder.mkdir()
        (folder / "all.yaml").write_text(text + (f"---\n{more}" if more else ""), encoding="utf-8")
        return folder

    return write_edited

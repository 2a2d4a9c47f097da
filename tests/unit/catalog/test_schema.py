"""The schema on every database: migrated once, with its data, or refused in one line."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from angelia.catalog import schema, tables
from angelia.catalog.store import CatalogStore
from angelia.commands import doctor
from angelia.config import load_settings
from angelia.errors import AngeliaError
from tests.unit.catalog.test_store import AT, put, reopen


@pytest.fixture
def catalog_url(new_catalog_url: str) -> str:
    """Return the address of a database of the test's own, which it may migrate and break."""
    return new_catalog_url


def test_several_first_users_of_an_empty_database_migrate_once(catalog_url: str) -> None:
    url = catalog_url.replace("/catalog.db", "/new/catalog.db")
    failed: list[BaseException] = []
    start = threading.Barrier(4)

    def first_use() -> None:
        start.wait()
        try:
            CatalogStore.open(url).current()
        except BaseException as error:  # noqa: BLE001 (shown by the assertion)
            failed.append(error)

    threads = [threading.Thread(target=first_use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_migrations_keep_what_the_older_schema_can_hold(store: CatalogStore) -> None:
    put(store, "a", "TRUE", 0)
    put(store, "a", "FALSE", 1, "bob")
    store.record("stop", "campaign", "x", actor="ann", at=AT, detail="why")
    before = (store.current(), store.history("audience", "a"))
    schema.migrate(store.engine, "0001")
    assert "catalog_audit" not in sa.inspect(store.engine).get_table_names()
    reopened = reopen(store)
    assert (reopened.current(), reopened.history("audience", "a")) == before
    assert [(e.action, e.actor, e.version) for e in reopened.audit()] == [
        ("created", "ann", 1),
        ("changed", "bob", 2),
    ]  # the stop is in the lake's log
    schema.migrate(store.engine, "base")
    assert sa.inspect(store.engine).get_table_names() == [tables.VERSION_TABLE]
    assert reopen(store).current() == []


def test_the_next_migration_ends_one_that_died(store: CatalogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", "TRUE", 0)
    before = (store.current(), store.history("audience", "a"), store.audit())

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def dies(
        target: str,
    ) -> (
        None
    ):  # after its tables were made or dropped (where they commit at once), before its revision was written
        with monkeypatch.context() as patched:
            patched.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", die)
            with pytest.raises(KeyboardInterrupt):
                schema.migrate(store.engine, target)

    dies("0001")
    schema.migrate(store.engine, "0001")
    dies("head")
    reopened = reopen(store)
    assert (reopened.current(), reopened.history("audience", "a"), reopened.audit()) == before
    dies("base")
    schema.migrate(store.engine, "base")
    assert reopen(store).current() == []


def test_a_schema_from_the_future_is_refused(store: CatalogStore) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {tables.VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(AngeliaError, match="schema 9999 is not known here"):
        reopen(store)


def test_the_doctor_looks_at_the_catalog_as_the_store_does(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme, _, rest = catalog_url.partition("://")
    # without a driver: SQLAlchemy's own choice is none that we ship
    plain = f"{scheme.partition('+')[0]}://{rest}"
    monkeypatch.setenv("ANGELIA_CATALOG", plain)

    def line() -> str:
        return doctor._catalog(load_settings()).line()

    kind = "mariadb" if "mariadb" in plain else plain.partition(":")[0]
    assert line() == (
        "ok      catalog: does not exist yet, will be created"
        if kind == "sqlite"
        else f"ok      catalog: {kind}, empty, its tables are made on first use"
    )
    store = CatalogStore.open(plain)
    assert line() == f"ok      catalog: {kind}, schema {tables.REVISION}"
    schema.migrate(store.engine, "base")
    assert "empty" in line()


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "mysql", "mariadb", "mysql+pymysql"])
def test_an_absent_server_is_one_line_without_its_password(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(AngeliaError, match=r"does not answer: .*refused") as caught:
            CatalogStore.open(f"{scheme}://ann:secret@127.0.0.1:{unused.getsockname()[1]}/catalog")
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.one_line()


def test_a_wrong_password_is_one_line(catalog_url: str) -> None:
    if catalog_url.startswith("sqlite"):
        return
    with pytest.raises(AngeliaError, match="does not answer: ") as caught:
        CatalogStore.open(
            sa.make_url(catalog_url).set(password="wrong-secret").render_as_string(hide_password=False)
        )
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.one_line()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "not a SQLAlchemy URL"),
        ("sqlite://", "cannot live in memory"),
        ("postgresql+nodriver://u:secret@h/d", "not a SQLAlchemy URL"),
        ("sqlite:////dev/null/x/catalog.db", "cannot make the folder"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, message: str) -> None:
    with pytest.raises(AngeliaError, match=message) as caught:
        CatalogStore.open(url)
    assert "secret" not in caught.value.one_line()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("no database " * 100)
    with pytest.raises(AngeliaError, match="the catalog refused: file is not a database"):
        CatalogStore.open(f"sqlite:///{tmp_path / 'catalog.db'}")

"""Store and schema on every database: versions, conflicts, migrations with data."""

from __future__ import annotations

import json
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from angelia.catalog import schema, tables
from angelia.catalog.documents import AnyDocument, parse_document
from angelia.catalog.store import CatalogStore, Change, changed_paths
from angelia.commands import doctor
from angelia.config import load_settings
from angelia.errors import AngeliaError, Conflict, Corrupt, InvalidInput, NotFound

AT = datetime(2026, 11, 14, 12, tzinfo=UTC)


def audience(name: str, predicate: str) -> AnyDocument:
    return parse_document({"kind": "audience", "id": name, "predicate": predicate})


def reopen(store: CatalogStore) -> CatalogStore:
    return CatalogStore.open(store.engine.url.render_as_string(hide_password=False))


def put(store: CatalogStore, name: str, predicate: str | None, expected: int, actor: str = "ann") -> None:
    store.save(
        [Change("audience", name, expected, None if predicate is None else audience(name, predicate))],
        actor=actor,
        at=AT,
    )


def test_versions_audit_and_conflict(store: CatalogStore) -> None:
    put(store, "a", "TRUE", 0)
    put(store, "a", "FALSE", 1, "bob")
    put(store, "a", None, 2, "cleo")
    assert [
        (v.version, v.action, v.actor, v.changed, v.body and v.body["predicate"])
        for v in store.history("audience", "a")
    ] == [
        (1, "created", "ann", (), "TRUE"),
        (2, "changed", "bob", ("predicate",), "FALSE"),
        (3, "removed", "cleo", (), None),
    ]
    assert [(e.action, e.actor, e.version, e.at_ts) for e in store.audit("audience", "a")] == [
        ("created", "ann", 1, "2026-11-14T12:00:00.000000+00:00"),
        ("changed", "bob", 2, "2026-11-14T12:00:00.000000+00:00"),
        ("removed", "cleo", 3, "2026-11-14T12:00:00.000000+00:00"),
    ]
    with pytest.raises(NotFound, match=r"no audience 'a' \(it was removed\)"):
        store.get("audience", "a")


def test_a_conflict_in_one_change_undoes_all(store: CatalogStore) -> None:
    put(store, "b", "TRUE", 0)
    with pytest.raises(Conflict, match="audience/b was changed meanwhile: ann made version 1"):
        store.save(
            [
                Change("audience", "a", 0, audience("a", "TRUE")),
                Change("audience", "b", 0, audience("b", "FALSE")),
            ],
            actor="bob",
            at=AT,
        )
    assert [stored.key for stored in store.current()] == [("audience", "b")]
    assert len(store.audit()) == 1
    with pytest.raises(Conflict, match="audience/c is not there"):
        put(store, "c", "TRUE", 3)


def test_of_many_editors_at_once_one_wins_each_version(store: CatalogStore) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    put(store, "a", "n_events_28d = 0", 0)
    lost: list[str] = []
    start = threading.Barrier(6)

    def edit(i: int) -> None:
        mine = CatalogStore.open(url)
        start.wait()
        try:
            put(mine, "a", f"n_events_28d = {i}", 1, f"editor{i}")
        except Conflict as error:
            lost.append(error.message)

    threads = [threading.Thread(target=edit, args=(i,)) for i in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 5
    history = store.history("audience", "a")
    assert [v.version for v in history] == [1, 2]
    assert history[1].body is not None
    assert history[1].body["predicate"] == f"n_events_28d = {history[1].actor.removeprefix('editor')}"


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


def test_migrations_end_at_the_declared_tables_and_revision(store: CatalogStore) -> None:
    assert schema._revisions()[-1] == tables.REVISION
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == tables.REVISION


def test_texts_of_any_script_and_length_come_back(store: CatalogStore) -> None:
    text = "Angebot für 👩‍🚀 – İstanbul, Ünïcödé ≠ ünïcödé " * 4000  # 200 kB: more than MySQL's TEXT holds
    document = parse_document({"kind": "audience", "id": "a", "predicate": "TRUE", "description": text})
    store.save([Change("audience", "a", 0, document)], actor="Zoë 👩‍🚀", at=AT)
    head = reopen(store).get("audience", "a")
    assert (head.document, head.actor) == (document, "Zoë 👩‍🚀")
    assert store.history("audience", "a")[0].actor == "Zoë 👩‍🚀"


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mysql"])
def test_the_schema_compiles_for_the_servers(dialect: sa.Dialect) -> None:
    texts = [str(CreateTable(table).compile(dialect=dialect)) for table in tables.metadata.tables.values()]
    assert any(("MEDIUMTEXT" if dialect.name == "mysql" else "BIGSERIAL") in text for text in texts)


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
        ("nonsense", "no SQLAlchemy URL"),
        ("sqlite://", "cannot live in memory"),
        ("postgresql+nodriver://u:secret@h/d", "no SQLAlchemy URL"),
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


def test_a_body_that_no_longer_follows_its_model_is_corrupt(store: CatalogStore) -> None:
    put(store, "a", "TRUE", 0)
    with store.engine.begin() as connection:
        connection.execute(
            sa.update(tables.documents).values(body=json.dumps({"kind": "audience", "id": "a"}))
        )
    with pytest.raises(Corrupt, match="audience/a version 1"):
        store.heads()


def test_unknown_names_offer_the_nearest(store: CatalogStore) -> None:
    put(store, "everyone", "TRUE", 0)
    with pytest.raises(NotFound) as missing:
        store.get("audience", "everone")
    assert missing.value.one_line() == "no audience 'everone'; did you mean everyone?"
    with pytest.raises(InvalidInput, match="unknown kind 'audiense'; did you mean audience"):
        store.get("audiense", "everyone")


def test_changed_paths_are_the_deepest_that_differ() -> None:
    assert changed_paths('{"a":{"b":1,"c":2},"d":[1]}', '{"a":{"b":1,"c":3},"d":[2],"e":0}') == [
        "a.c",
        "d",
        "e",
    ]
    assert changed_paths(None, "{}") == []

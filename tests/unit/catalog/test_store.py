"""Store and schema on every database: versions, conflicts, migrations with data."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from angelia.catalog import tables
from angelia.catalog.documents import AnyDocument, parse_document
from angelia.catalog.store import CatalogStore, Change, changed_paths
from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound

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


def test_texts_of_any_script_and_length_come_back(store: CatalogStore) -> None:
    text = "Angebot für 👩‍🚀 – İstanbul, Ünïcödé ≠ ünïcödé " * 4000  # 200 kB: more than MySQL's TEXT holds
    document = parse_document({"kind": "audience", "id": "a", "predicate": "TRUE", "description": text})
    store.save([Change("audience", "a", 0, document)], actor="Zoë 👩‍🚀", at=AT)
    head = reopen(store).get("audience", "a")
    assert (head.document, head.actor) == (document, "Zoë 👩‍🚀")
    assert store.history("audience", "a")[0].actor == "Zoë 👩‍🚀"


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

"""Connecting makes the tables once, and a database that is down is one line."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.errors import AngeliaError, InvalidInput
from angelia.intake import database
from angelia.intake.database import Unavailable, change_rows, connect, fetched, insert_rows, kept, writing
from angelia.intake.store import IntakeStore
from angelia.intake.tables import external_ids, messages, schema
from tests.unit.intake.conftest import Make


def test_a_database_that_is_down_is_unavailable(engine: Engine, draft: Make) -> None:
    with writing(engine) as connection:
        messages.drop(connection)
    with pytest.raises(Unavailable, match="does not answer"):
        IntakeStore(engine).accept([draft()])


def test_newer_tables_are_left_alone(engine: Engine, sqlite_url: str) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(schema), {"revision": 99})
    with pytest.raises(AngeliaError, match="schema 99"):
        connect(sqlite_url)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "postgresql+nodriver://u:secret@h/d"])
def test_an_address_that_is_none_is_one_line(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        connect(url)
    assert "secret" not in caught.value.one_line()


def test_processes_meeting_at_an_empty_file_agree(tmp_path: Path) -> None:
    url, engines = f"sqlite:///{tmp_path / 'new.db'}", []
    threads = [threading.Thread(target=lambda: engines.append(connect(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 4
    for engine in engines:
        engine.dispose()


def linked(number: int) -> dict[str, object]:
    return {
        "namespace": "crm",
        "external_id": f"k{number:03d}",
        "user_id": f"it's {number}",
        "linked_us": number,
    }


@pytest.mark.parametrize("number", [0, 1, 3, 255, 256, 300])
def test_any_number_of_rows_is_inserted_as_it_is(any_engine: Engine, number: int) -> None:
    rows = [linked(each) for each in range(number)]
    with writing(any_engine) as connection:
        insert_rows(connection, external_ids, rows)
    with any_engine.connect() as connection:
        query = sa.select(external_ids).order_by(external_ids.c.linked_us)
        assert fetched(connection, query) == rows


def test_rows_of_a_refused_insert_are_all_undone(any_engine: Engine) -> None:
    rows = [linked(each) for each in (1, 2, 3, 1)]
    with pytest.raises(sa.exc.IntegrityError), writing(any_engine) as connection:
        insert_rows(connection, external_ids, rows)
    with any_engine.connect() as connection:
        assert fetched(connection, sa.select(external_ids)) == []


def test_each_row_is_changed_by_its_own_values(any_engine: Engine) -> None:
    c = external_ids.c
    change = sa.update(external_ids).where(c.external_id == sa.bindparam("of"), c.user_id != "it's 2")
    change = change.values(user_id="new", linked_us=sa.bindparam("at"))
    with writing(any_engine) as connection:
        insert_rows(connection, external_ids, [linked(each) for each in (1, 2, 3)])
        change_rows(connection, change, [{"of": f"k00{each}", "at": 10 * each} for each in (1, 2, 3)])
    with any_engine.connect() as connection:
        query = sa.select(c.user_id, c.linked_us).order_by(c.external_id)
        assert list(map(tuple, connection.execute(query))) == [("new", 10), ("it's 2", 2), ("new", 30)]


def test_writers_that_wait_for_each_other_both_finish(any_engine: Engine) -> None:
    # Each holds the row that the other asks for next, and a server ends one of them; SQLite has one writer.
    c, meeting, tries = external_ids.c, threading.Barrier(2), []
    rows = [
        {"namespace": "crm", "external_id": name, "user_id": "nobody", "linked_us": 1} for name in ("a", "b")
    ]
    with writing(any_engine) as connection:
        connection.execute(sa.insert(external_ids), rows)

    def write(user: str, names: tuple[str, str]) -> None:
        def both(connection: Connection) -> None:
            tries.append(user)
            for name in names:
                connection.execute(sa.update(external_ids).where(c.external_id == name).values(user_id=user))
                with suppress(threading.BrokenBarrierError):
                    meeting.wait(1)

        kept(any_engine, both)

    threads = [
        threading.Thread(target=write, args=given) for given in (("u1", ("a", "b")), ("u2", ("b", "a")))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with any_engine.connect() as connection:
        owners = set(connection.execute(sa.select(c.user_id)).scalars())
    assert len(owners) == 1
    assert owners < {"u1", "u2"}
    assert len(tries) == (2 if any_engine.dialect.name == "sqlite" else 3)


def test_a_fault_that_stays_is_tried_no_more_than_thrice(engine: Engine) -> None:
    tries = []

    def twice(connection: Connection) -> None:
        tries.append(1)
        row = {"namespace": "crm", "external_id": "a", "user_id": "u1", "linked_us": 1}
        connection.execute(sa.insert(external_ids), [row, row])

    with pytest.raises(sa.exc.IntegrityError):
        kept(engine, twice)
    assert len(tries) == 3


@pytest.mark.parametrize(("meetings", "is_kept"), [(9, True), (10, False)])
def test_writers_that_wait_for_each_other_have_ten_tries(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, meetings: int, is_kept: bool
) -> None:
    """Under load the loser meets the same writer again and again until that one is done."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def write(connection: Connection) -> str:
        if len(pauses) < meetings:
            raise sa.exc.OperationalError("insert", {}, Exception(1213, "Deadlock found"))
        return "kept"

    if is_kept:
        assert kept(engine, write) == "kept"
    else:
        with pytest.raises(Unavailable):
            kept(engine, write)
    assert pauses == [0.01 * n for n in range(1, len(pauses) + 1)]
    assert len(pauses) == meetings


def test_tables_that_another_process_still_makes_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own tries fail, since the other makes the same tables."""
    tries, complete = [], database._complete

    def lose(engine: Engine) -> None:
        tries.append(1)
        if len(tries) == 3:
            complete(engine)
        raise sa.exc.OperationalError("create", {}, Exception("already exists"))

    monkeypatch.setattr(database, "_complete", lose)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(database, "_missing", lambda engine: ["due_us"] if len(tries) < 3 else [])
    connect(f"sqlite:///{tmp_path / 'new.db'}").dispose()
    assert len(tries) == 3
    monkeypatch.setattr(database, "_missing", lambda engine: ["due_us"])
    with pytest.raises(AngeliaError, match="lacks columns or indices"):
        connect(f"sqlite:///{tmp_path / 'other.db'}")

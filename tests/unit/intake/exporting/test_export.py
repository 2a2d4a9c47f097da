"""The lake's copy of the intake: every step, once, and again only where something changed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from angelia.contracts.ids import message_id
from angelia.errors import Conflict
from angelia.intake.dispatching.deciding import occurrence_of
from angelia.intake.erasing import IntakePeople, expire
from angelia.intake.exporting import export as exporting
from angelia.intake.exporting.changes import marked
from angelia.intake.exporting.export import Exported, export
from angelia.intake.message import now
from angelia.intake.tables import changes
from angelia.lake.attempt import Attempt
from angelia.lake.erasing.erase import erase
from tests.unit.intake.dispatching import Bench, bench

__all__ = ["bench"]
HOUR_US = 3_600_000_000
LEAD_HOURS = 28


def run(bench: Bench, at: int | None = None) -> Exported:
    return export(bench.lake, bench.engine, LEAD_HOURS, lambda: now() if at is None else at)


def table_of(bench: Bench, name: str) -> pa.Table:
    leaves = bench.lake.partitions(name)
    return pa.concat_tables([bench.lake.read(bench.lake.require(name, **leaf)) for leaf in leaves])


def rows_of(bench: Bench, name: str) -> list[dict[str, Any]]:
    return table_of(bench, name).to_pylist()


def accept_at(bench: Bench, at_us: int, **fields: Any) -> str:
    """Accept a message as if at another time: its id begins with it."""
    (message,) = bench.accept(fields)
    moved = f"{at_us // 1000:012x}{message[12:]}"
    with bench.engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE intake_messages SET id = :new, accepted_us = :at, status_us = :at WHERE id = :old"
            ),
            {"new": moved, "old": message, "at": at_us},
        )
    return moved


def test_messages_and_steps_are_exported_as_they_stand(bench: Bench) -> None:
    bench.night(4, features={"opted_out_topics": [[], ["promo"], [], []]})
    ids = bench.accept({"variables": {"item": "lamp"}, "channels": ["fcm"]}, {"user_id": "u0000001"}, {})
    bench.store.cancel("shop", ids[2], now())
    bench.dispatch()
    first = run(bench)
    assert (first.messages, len(first.commits)) == (3, 3)
    by_id = {row["intake_id"]: row for row in rows_of(bench, "intake_messages")}
    assert [by_id[each]["status"] for each in ids] == ["sent", "refused", "cancelled"]
    assert by_id[ids[0]]["channels"] == ["fcm"]
    assert by_id[ids[0]]["n_variable_bytes"] == len('{"item":"lamp"}')
    assert by_id[ids[0]]["message_id"] == message_id("sale", "u0000000", occurrence_of(ids[0]))
    # The ledger knows it by the same key.
    assert by_id[ids[0]]["message_id"] in {row["message_id"] for row in rows_of(bench, "delivery_ledger")}
    steps = [(row["intake_id"], row["step"], row["reason"] or row["channel"])
             for row in rows_of(bench, "intake_steps")]  # fmt: skip
    assert [step[1:] for step in steps if step[0] == ids[0]] == [
        ("accepted", None), ("claimed", None), ("queued", "fcm"), ("sent", "fcm"),
    ]  # fmt: skip
    assert [step[1:] for step in steps if step[0] == ids[1]][-1] == ("refused", "opted_out")
    assert [step[1] for step in steps if step[0] == ids[2]] == ["accepted", "cancelled"]
    assert "lamp" not in str(rows_of(bench, "intake_messages"))
    with bench.engine.connect() as connection:
        assert marked(connection) == {}


def test_a_second_run_makes_no_commit(bench: Bench) -> None:
    bench.night()
    bench.accept({}, {"user_id": "u0000001"})
    moment = now()
    assert len(run(bench, moment).commits) == 3
    again = run(bench, moment)
    assert (again.commits, again.messages) == ([], 2)


def test_an_old_hour_is_exported_again_once_it_changed(bench: Bench) -> None:
    bench.night()
    old = accept_at(bench, now() - 40 * 24 * HOUR_US)
    bench.accept({"user_id": "u0000001"})
    assert run(bench).hours == 2
    assert run(bench).hours == 1  # the last hour is always open
    bench.store.cancel("shop", old, now())
    later = run(bench)
    assert later.hours == 2
    assert sorted(commit.partition("/")[0] for commit in later.commits)[0] == "intake_messages"
    assert {row["intake_id"]: row["status"] for row in rows_of(bench, "intake_messages")}[old] == "cancelled"


def test_what_changes_while_an_hour_is_read_stays_marked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message,) = bench.accept({})
    real = exporting._read

    def read(connection: Any, hour: str) -> Any:
        rows = real(connection, hour)
        bench.store.cancel("shop", message, now())
        return rows

    monkeypatch.setattr(exporting, "_read", read)
    run(bench)
    monkeypatch.undo()
    with bench.engine.connect() as connection:
        assert len(connection.execute(sa.select(changes)).all()) == 1
    run(bench)
    assert [row["status"] for row in rows_of(bench, "intake_messages")] == ["cancelled"]


def test_the_slower_of_two_runs_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.accept({})
    real, entered = exporting._messages, []

    def messages(rows: Any) -> pa.Table:
        if not entered:
            entered.append(True)
            run(bench)
            bench.accept({"user_id": "u0000001"})
            run(bench)
        return real(rows)

    monkeypatch.setattr(exporting, "_messages", messages)
    with pytest.raises(Conflict):
        run(bench)
    assert len(rows_of(bench, "intake_messages")) == 2


def test_what_the_database_expired_stays_in_the_lake(bench: Bench) -> None:
    old_us = now() - 200 * 24 * HOUR_US
    over, waiting = accept_at(bench, old_us), accept_at(bench, old_us, user_id="u0000001")
    bench.store.cancel("shop", over, old_us)
    run(bench)
    assert expire(bench.engine, now() - 100 * 24 * HOUR_US)["intake_messages"] == 1
    bench.store.cancel("shop", waiting, now())
    run(bench)
    assert {row["intake_id"]: row["status"] for row in rows_of(bench, "intake_messages")} == {
        over: "cancelled", waiting: "cancelled",
    }  # fmt: skip
    assert len(rows_of(bench, "intake_steps")) == 4


def test_an_erased_person_is_a_tombstone_in_the_next_export(bench: Bench) -> None:
    bench.accept({}, {"user_id": "u0000001"})
    run(bench)
    IntakePeople(bench.engine).erase({"u0000000": "erased-1"})
    run(bench)
    assert sorted(row["user_id"] for row in rows_of(bench, "intake_messages")) == ["erased-1", "u0000001"]


def erased_before_the_file(name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let a whole erasure pass between the reading of the database and the writing of a file."""
    write, erased = Attempt.write, list[Any]()

    def late(self: Attempt, *rest: Any, **options: Any) -> Any:
        if self.name == name and not erased:
            erased.append(erase(bench.lake, ["u0000000"], elsewhere=IntakePeople(bench.engine)))
        return write(self, *rest, **options)

    monkeypatch.setattr(Attempt, "write", late)
    return erased


@pytest.mark.parametrize("name", ["intake_messages", "intake_pending"])
def test_a_person_erased_while_it_runs_does_not_come_back(
    name: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.night(2)
    bench.accept({}, {"user_id": "u0000001"})
    erased = erased_before_the_file(name, bench, monkeypatch)
    run(bench)
    (tombstone,) = erased[0].tombstones
    # The next run marks what is left, as after every erasure.
    assert {row["user_id"] for row in rows_of(bench, "intake_messages")} == {tombstone, "u0000001"}
    assert {row["user_id"] for row in rows_of(bench, "intake_pending")} == {"u0000001"}


def test_an_erasure_that_rewrites_what_stays_is_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a message that the database has expired are the lake's alone."""
    bench.night(2)
    ids = bench.accept({}, {"user_id": "u0000001"})
    run(bench)
    with bench.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM intake_messages WHERE id = :old"), {"old": ids[0]})
    bench.store.cancel("shop", ids[1], now())
    erased = erased_before_the_file("intake_messages", bench, monkeypatch)
    run(bench)
    (tombstone,) = erased[0].tombstones
    assert {row["user_id"] for row in rows_of(bench, "intake_messages")} == {tombstone, "u0000001"}

"""Used keys are known to each process, through restarts, erasure and expiry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.intake.database import connect, writing
from angelia.intake.erasing import IntakePeople, expire
from angelia.intake.message import Refusal
from angelia.intake.repeating import used_keys
from angelia.intake.repeating.used_keys import UsedKeys
from angelia.intake.store import Accepted, IntakeStore, change
from angelia.intake.tables import key_runs, messages
from tests.unit.intake.conftest import HOUR_US, NOW_US, Make


def accepted(store: IntakeStore, draft: Make, names: list[str], **fields: object) -> dict[str, Accepted]:
    verdicts = store.accept([draft(idempotency_key=name, **fields) for name in names])
    return {name: each for name, each in zip(names, verdicts, strict=True) if isinstance(each, Accepted)}


def runs_of(engine: Engine) -> list[bytes]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(key_runs.c.packed).order_by(key_runs.c.number)).scalars())


def test_a_transaction_writes_one_run_and_no_index(engine: Engine, draft: Make) -> None:
    store = IntakeStore(engine)
    store.accept([draft(idempotency_key="a"), draft(), draft(idempotency_key="b")])
    store.accept([draft(), draft(idempotency_key="a")])
    assert [len(packed) for packed in runs_of(engine)] == [48]
    assert {index["name"] for index in sa.inspect(engine).get_indexes(messages.name)} == {"intake_due_open"}
    assert sa.inspect(engine).get_unique_constraints(messages.name) == []


@pytest.mark.parametrize("young", [1, 7, 65_536])
def test_keys_are_found_however_they_are_held(
    engine: Engine, draft: Make, young: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used_keys, "_YOUNG", young)
    store = IntakeStore(engine)
    first: dict[str, Accepted] = {}
    for start in range(0, 60, 5):
        first |= accepted(store, draft, [f"k{start + each}" for each in range(5)])
    names = [f"k{each}" for each in range(70)]
    for process in (store, IntakeStore(engine)):
        again = accepted(process, draft, names[:60])
        assert again == {name: Accepted(each.id, NOW_US, True) for name, each in first.items()}
    assert not any(each.repeated for each in accepted(store, draft, names[60:]).values())
    (other,) = store.accept([draft(idempotency_key="k3", user_id="u2")])
    assert isinstance(other, Refusal)


def test_two_processes_see_each_others_keys(engine: Engine, sqlite_url: str, draft: Make) -> None:
    other = connect(sqlite_url)
    one_store, two_store = IntakeStore(engine), IntakeStore(other)
    for number in range(5):
        (first,) = accepted(one_store, draft, [f"a{number}"]).values()
        assert accepted(two_store, draft, [f"a{number}"])[f"a{number}"] == Accepted(first.id, NOW_US, True)
        (second,) = accepted(two_store, draft, [f"b{number}"]).values()
        assert accepted(one_store, draft, [f"b{number}"])[f"b{number}"] == Accepted(second.id, NOW_US, True)
    other.dispose()


def test_a_run_that_is_undone_is_not_held(
    engine: Engine, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IntakeStore(engine)

    def fail(*_: object) -> None:
        raise KeyError("a defect after the run was written")

    with monkeypatch.context() as broken:
        broken.setattr("angelia.intake.store._keep_addresses", fail)
        with pytest.raises(KeyError):
            store.accept([draft(idempotency_key="k")])
    assert runs_of(engine) == []
    assert not accepted(store, draft, ["k"])["k"].repeated
    assert accepted(store, draft, ["k"])["k"].repeated


def test_keys_of_one_short_hash_are_kept_apart(
    engine: Engine, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used_keys, "_short", lambda hashes: np.full(len(hashes), 7, np.uint64))
    store = IntakeStore(engine)
    first = [accepted(store, draft, [name]) for name in "abc"]
    assert len({each.id for one in first for each in one.values()}) == 3
    again = accepted(store, draft, ["a", "b", "c", "d"])
    assert [each.repeated for each in again.values()] == [True, True, True, False]
    assert not accepted(store, draft, ["a"], client="bank")["a"].repeated


def test_an_erased_key_is_wiped_and_others_stay(engine: Engine, draft: Make) -> None:
    store = IntakeStore(engine)
    accepted(store, draft, ["mine"], user_id="u1")
    both = [draft(idempotency_key="x", user_id="u1"), draft(idempotency_key="theirs", user_id="u2")]
    store.accept(both)
    before = runs_of(engine)
    IntakePeople(engine).erase({"u1": "erased-1"})
    after = runs_of(engine)
    assert [each[:8] for each in after] == [bytes(8), bytes(8)]
    assert after[1][8:] == before[1][8:]
    for process in (store, IntakeStore(engine)):
        assert accepted(process, draft, ["theirs"], user_id="u2")["theirs"].repeated
    assert not accepted(store, draft, ["mine"], user_id="u1")["mine"].repeated
    assert accepted(store, draft, ["mine"], user_id="u1")["mine"].repeated


def test_runs_go_with_the_last_of_their_messages(engine: Engine, draft: Make) -> None:
    store, later = IntakeStore(engine), NOW_US + 10 * HOUR_US
    sent = accepted(store, draft, ["gone", "waits"])
    accepted(store, draft, ["gone_alone"])
    accepted(store, draft, ["fresh"], now_us=later)
    with writing(engine) as connection:
        c = messages.c
        over = sa.update(messages).where(c.accepted_us == NOW_US, c.id != sent["waits"].id)
        connection.execute(over.values(status="sent", is_open=0))
    expire(engine, later)
    assert [len(packed) for packed in runs_of(engine)] == [48, 24]
    again = accepted(store, draft, ["gone", "waits", "gone_alone"])
    assert [each.repeated for each in again.values()] == [False, True, False]
    with writing(engine) as connection:
        change(connection, [{"client": "shop", "id": sent["waits"].id}], status="sent")
    expire(engine, later)
    assert len(runs_of(engine)) == 3 - 1
    # A process that still holds the deleted runs finds their keys' newer messages.
    assert all(each.repeated for each in accepted(store, draft, ["gone", "gone_alone"]).values())


def test_arrays_are_few_however_many_runs(
    engine: Engine, draft: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used_keys, "_YOUNG", 4)
    store = IntakeStore(engine)
    for number in range(40):
        accepted(store, draft, [f"{number}-{each}" for each in range(4)])
    held = UsedKeys()
    with engine.connect() as connection:
        held.catch_up(connection)
    lengths = [len(hashes) for hashes, _ in held._old]
    assert sum(lengths) + len(held._young) == 160
    assert len(lengths) <= 4
    assert all((np.diff(hashes.astype(object)) > 0).all() for hashes, _ in held._old)


def test_a_file_with_an_index_of_keys_is_written_anew(tmp_path: Path, sqlite_url: str, draft: Make) -> None:
    engine = connect(sqlite_url)
    first = accepted(IntakeStore(engine), draft, [f"k{each}" for each in range(6)])
    with writing(engine) as connection:
        (text,) = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'intake_messages'"
        ).one()
        unique = ", CONSTRAINT intake_idempotency UNIQUE (client, key_hash))"
        connection.exec_driver_sql("ALTER TABLE intake_messages RENAME TO newer")
        connection.exec_driver_sql(text.rstrip().removesuffix(")") + unique)
        connection.exec_driver_sql("INSERT INTO intake_messages SELECT * FROM newer")
        connection.exec_driver_sql("DROP TABLE newer")
        connection.exec_driver_sql("DROP TABLE intake_key_runs")
        connection.exec_driver_sql("CREATE INDEX intake_due ON intake_messages (is_open, priority, due_us)")
        connection.exec_driver_sql("UPDATE intake_schema SET revision = 6")
    engine.dispose()
    again = connect(sqlite_url)
    assert {index["name"] for index in sa.inspect(again).get_indexes(messages.name)} == {"intake_due_open"}
    assert sa.inspect(again).get_unique_constraints(messages.name) == []
    assert sa.inspect(again).get_pk_constraint(messages.name)["constrained_columns"] == ["client", "id"]
    store = IntakeStore(again)
    assert accepted(store, draft, list(first)) == {
        name: Accepted(each.id, NOW_US, True) for name, each in first.items()
    }
    assert store.get("shop", first["k0"].id) is not None
    again.dispose()

"""Messages to an address: whose it is, who may be written to, and what stays of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.intake.exporting.export import export
from angelia.intake.message import now
from angelia.intake.people.addressed import STRANGER
from angelia.lake import Lake
from angelia.users.registered import register
from angelia.users.suppressions import address_hash, address_key
from tests.unit.intake.dispatching import ORDER, Bench, bench, with_policy
from tests.unit.intake.test_erasing import everything

__all__ = ["bench"]
YEAR_AGO, LATELY = datetime(2025, 11, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)


def address(number: int) -> str:
    return f"sandbox-{number:08d}-" + "x" * 60


def to(number: int) -> dict[str, Any]:
    return {"to": {"channel": "fcm", "address": address(number)}}


def close(lake: Lake, number: int, at: datetime, user: str = "u9") -> None:
    """Close an address, whoever had it."""
    key = address_key(lake.store)
    entry = {"entry_id": "e", "user_id": user, "channel": "fcm", "since_ts": at, "reason": "address_gone"}
    hashed = {"address_hash": address_hash(key, "fcm", address(number))}
    schema = arrow.schema(dataset("suppressions"))
    lake.append_log("suppressions", pa.Table.from_pylist([entry | hashed], schema=schema))


def tokens(bench: Bench) -> list[str]:
    return [message["token"] for message in bench.wire.sent]


def user_of(bench: Bench, message: str) -> str:
    return str((bench.store.get("shop", message) or {})["user_id"])


def test_a_known_address_is_its_persons(bench: Bench) -> None:
    bench.night(2, documents=with_policy(caps=[{"messages": 1, "days": 1}]))
    (by_address,) = bench.accept(to(1))
    assert user_of(bench, by_address).startswith(STRANGER)
    bench.dispatch()
    (by_id,) = bench.accept({"user_id": "u0000001"})
    bench.dispatch()
    assert bench.states([by_address, by_id]) == ["sent", "refused"]
    assert bench.steps(by_id) == [("refused", "capped")]  # the person's room, not the address's
    assert tokens(bench) == [address(1)]
    assert user_of(bench, by_address) == "u0000001"


@pytest.mark.parametrize(
    ("features", "fields", "reason"),
    [
        ({"opted_out_topics": [["promo"]]}, {}, "opted_out"),
        ({"is_suppressed": [True]}, ORDER, "suppressed"),
        ({"channels": [[]]}, ORDER, "unreachable"),
    ],
)
def test_what_a_person_refused_holds(
    bench: Bench, features: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    bench.night(1, features=features)
    (message,) = bench.accept({**to(0), **fields})
    bench.dispatch()
    assert bench.steps(message) == [("refused", reason)]


def test_nobodys_address_gets_what_is_owed_only(bench: Bench) -> None:
    bench.night(1)
    sale, order = bench.accept(to(7), {**to(7), **ORDER})
    bench.dispatch()
    assert bench.steps(sale) == [("refused", "unknown_address")]
    assert bench.states([order]) == ["sent"]
    assert tokens(bench) == [address(7)]
    (row,) = [
        row
        for leaf in bench.lake.partitions("dispatch_intake")
        for row in bench.lake.read(bench.lake.require("dispatch_intake", **leaf)).to_pylist()
    ]
    assert (row["user_id"], row["locale"]) == (user_of(bench, order), "und")
    assert bench.wire.sent[0]["notification"]["title"] == "About something"


@pytest.mark.parametrize(
    ("number", "closed", "state"),
    [(7, YEAR_AGO, "refused"), (0, YEAR_AGO, "sent"), (0, LATELY, "refused")],
)
def test_a_closed_address_is_closed_for_all_who_had_it(
    bench: Bench, number: int, closed: datetime, state: str
) -> None:
    bench.night(1)  # registered in January
    close(bench.lake, number, closed)
    (message,) = bench.accept({**to(number), **ORDER})
    bench.dispatch()
    assert bench.states([message]) == [state]
    assert state == "sent" or bench.steps(message) == [("refused", "suppressed")]


def test_it_goes_to_the_address_that_was_named(bench: Bench) -> None:
    bench.night(1)
    newer = {
        "user_id": "u0000000", "channel": "fcm", "address": "sandbox-newer-" + "y" * 60,
        "registered_ts": LATELY, "is_active": True,
    }  # fmt: skip
    register(bench.lake, [newer])
    bench.accept(to(0), {})
    bench.dispatch()
    assert sorted(tokens(bench)) == sorted([address(0), newer["address"]])


def test_an_address_that_moved_meanwhile_gets_nothing(bench: Bench) -> None:
    hour = datetime.now(UTC).hour
    bench.night(2, documents=with_policy(quiet_hours={"start": hour, "end": (hour + 2) % 24}))
    (message,) = bench.accept(to(0))
    bench.dispatch()
    assert (bench.states([message]), user_of(bench, message)) == (["accepted"], "u0000000")
    moved = {
        "user_id": "u0000001", "channel": "fcm", "address": address(0),
        "registered_ts": LATELY, "is_active": True,
    }  # fmt: skip
    register(bench.lake, [moved])
    bench.night(2)  # its quiet hours are over
    due = (bench.store.get("shop", message) or {})["due_us"]
    with bench.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE intake_messages SET due_us = {now()} WHERE due_us = {due}")
    bench.dispatch()
    assert bench.steps(message)[-1] == ("refused", "unreachable")


def test_nothing_stays_of_an_address_in_the_database(bench: Bench) -> None:
    bench.night(1)
    kept = {**to(0), "idempotency_key": "a", "send_at": "2030-01-01T00:00:00Z"}
    waiting, sent, refused = bench.accept(kept, {**to(0), **ORDER}, {**to(7)})
    assert bench.accept(kept) == [waiting]
    bench.dispatch()
    assert bench.states([waiting, sent, refused]) == ["accepted", "sent", "refused"]
    text = everything(bench.engine)
    assert address(7) not in text
    assert text.count(address(0)) == 1  # what is still to be sent
    assert bench.store.cancel("shop", waiting, now())
    assert address(0) not in everything(bench.engine)


def test_an_expired_message_forgets_its_address(bench: Bench) -> None:
    bench.night(1)
    (message,) = bench.accept(to(0))
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE intake_messages SET expires_us = 1")
    bench.dispatch()
    assert bench.states([message]) == ["expired"]
    assert address(0) not in everything(bench.engine)


def test_the_lake_gets_a_name_and_no_address(bench: Bench) -> None:
    bench.night(1)
    bench.accept({**to(7), "send_at": "2030-01-01T00:00:00Z"})
    export(bench.lake, bench.engine, 28)
    ((leaf),) = bench.lake.partitions("intake_messages")
    (row,) = bench.lake.read(bench.lake.require("intake_messages", **leaf)).to_pylist()
    assert row["user_id"].startswith(STRANGER)
    assert row["channels"] == ["fcm"]

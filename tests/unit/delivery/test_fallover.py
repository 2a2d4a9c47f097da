"""A row whose address is no use goes to the campaign's next channel, in the next cycle.

What is or was `ambiguous` never does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.ledger.ledger import Ledger
from angelia.delivery.ledger.status import release, status
from angelia.delivery.manifest import sample_plan
from angelia.delivery.manifest.parts import FALLOVER
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.transport.wire import UNKNOWN, Answer
from angelia.users.suppressions import address_hash, address_key
from tests.user_index import append_people

DS, HOUR = "2026-11-14", "2026-11-15T04"
START = datetime(2026, 11, 15, 4, tzinfo=UTC)
OK = Answer(200, b'{"name":"projects/p/messages/1"}')
Error = Callable[..., Answer]


def empty(kind: pa.DataType) -> Any:
    return (
        False
        if pa.types.is_boolean(kind)
        else []
        if pa.types.is_list(kind)
        else ""
        if pa.types.is_string(kind)
        else 0
    )


def filled(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows of a dataset; what is not given is null, or 0, false, nothing."""
    schema = arrow.schema(dataset(name))
    blank = {
        field.name: None if field.nullable or pa.types.is_timestamp(field.type) else empty(field.type)
        for field in schema
    }
    return pa.Table.from_pylist([{**blank, **row} for row in rows], schema=schema)


def write(lake: Lake, name: str, table: pa.Table, inputs: Any = (), **leaf: Any) -> Any:
    keys = (
        {"send_hour": HOUR, "channel": "fcm", "priority": "medium", "part": "0000"}
        if name == "dispatch_manifest"
        else {}
    )
    with lake.attempt(name, **{"ds": DS, **leaf}) as attempt:
        attempt.write(
            table, "part-0000.parquet", shards=(0, 0) if name == "user_features" else None, keys=keys
        )
        return attempt.publish(inputs=inputs)


def plan(
    lake: Lake, n: int, *, route: list[str] | None = None, mail: dict[int, Any] | None = None, **changes: Any
) -> None:
    """Write a plan for fcm of n people who can all be mailed.

    `mail` changes facts of person k's mail endpoint (None = none at all).
    """
    route = route or ["fcm", "email"]
    documents = sample_plan.documents(channels=("fcm", "email", "webhook"))
    documents.append(
        {
            "kind": "campaign",
            "id": "price_drop",
            "version": 1,
            "body": json.dumps({"id": "price_drop", "channels": route}),
        }
    )
    snapshot = write(
        lake,
        "catalog_snapshot",
        pa.Table.from_pylist(documents, schema=arrow.schema(dataset("catalog_snapshot"))),
    )
    people = [f"u{k:08d}" for k in range(n)]
    append_people(
        lake,
        [pa.table({"user_id": people, "ordinal": pa.array(range(n), pa.uint32())})],
        shard_bits=14,
    )
    refused = {k for k, facts in (mail or {}).items() if facts == "refused"}
    features = [
        {
            "ordinal": k,
            "user_id": user,
            "timezone": "UTC",
            "channels": ["fcm"] if k in refused else ["email", "fcm", "webhook"],
        }
        for k, user in enumerate(people)
    ]
    endpoints = []
    for k, user in enumerate(people):
        facts = (mail or {}).get(k, {})
        if facts is not None:
            base = {
                "user_id": user,
                "channel": "email",
                "address": f"mail-{k}",
                "registered_ts": START - timedelta(days=9),
                "is_active": True,
            }
            endpoints.append({**base, **(facts if isinstance(facts, dict) else {})})
        endpoints.append(
            {
                "user_id": user,
                "channel": "webhook",
                "address": f"hook-{k}",
                "registered_ts": START,
                "is_active": True,
            }
        )
    reach = [
        write(lake, "user_features", filled("user_features", features)),
        write(lake, "user_endpoints", filled("user_endpoints", endpoints)),
    ]
    write(lake, "dispatch_manifest", sample_plan.rows(0, n, START, **changes), [snapshot, *reach])


def gone(bench: Any, fcm_error: Error, below: int) -> Callable[[int, dict[str, Any]], Answer]:
    return lambda _, message: (
        fcm_error(404, "UNREGISTERED")
        if message["token"] < f"sandbox-{below:08d}" and message["token"].startswith("sandbox")
        else OK
    )


def tokens(bench: Any) -> list[str]:
    return sorted(message["token"].split("-x")[0] for message, _ in bench.wire.requests)


def test_the_next_cycle_sends_through_the_next_channel(bench: Any, fcm_error: Error) -> None:
    plan(bench.lake, 10)
    first = bench.deliver(gone(bench, fcm_error, 4))
    assert first.delivered == {"accepted": 6, "rejected": 4}
    assert not any(token.startswith("mail") for token in tokens(bench))  # not inline
    assert (status(bench.lake, DS)["rows"], status(bench.lake, DS)["rows_open"]) == (14, 4)
    second = bench.deliver()
    assert tokens(bench) == ["mail-0", "mail-1", "mail-2", "mail-3"]
    assert (second.delivered, second.already_delivered) == ({"accepted": 4}, 10)
    ledger = list(bench.ledger().values())
    assert len(ledger) == 14
    moved = [row for row in ledger if row["channel"] == "email"]
    assert {row["message_id"] for row in moved} == {
        row["message_id"] for row in ledger if row["outcome"] == "rejected"
    }
    assert all(
        row["dispatch_id"]
        == sample_plan.ids.dispatch_id(row["message_id"], "email", f"mail-{int(row['user_id'][1:])}")
        for row in moved
    )
    assert bench.deliver().delivered == {}
    assert bench.wire.requests == []
    (leaf,) = bench.lake.partitions(FALLOVER, ds=DS)
    commit = bench.lake.require(FALLOVER, **leaf)
    assert commit.number == 1
    assert {c.split("/")[0] for c in commit.inputs} == {
        "dispatch_manifest",
        "user_features",
        "user_endpoints",
    }


def test_the_way_goes_on_to_the_end_of_the_list(bench: Any, fcm_error: Error) -> None:
    plan(bench.lake, 3, route=["fcm", "sms", "email", "webhook"])  # sms is no channel of this catalog
    seen = []
    for _ in range(4):
        bench.deliver(lambda *_: fcm_error(404, "UNREGISTERED"))
        seen.append([token.split("-")[0] for token in tokens(bench)])
    assert seen == [["sandbox"] * 3, ["mail"] * 3, ["hook"] * 3, []]


@pytest.mark.parametrize(
    ("route", "changes"),
    [
        (["fcm"], {}),
        (["email", "fcm"], {}),  # fcm was the last resort
        (["fcm", "email"], {"not_after": START + timedelta(microseconds=1)}),
        (["fcm", "apns"], {}),  # the template is not for it, and the catalog has no such channel
    ],
)
def test_where_there_is_no_next_channel_or_no_time(
    route: list[str], changes: dict[str, Any], bench: Any, fcm_error: Error
) -> None:
    plan(bench.lake, 3, route=route, **changes)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        bench.clock.advance_to(bench.clock.now() + 10)
        return fcm_error(404, "UNREGISTERED")

    bench.deliver(script)
    assert bench.lake.partitions(FALLOVER, ds=DS) == []


def test_people_the_next_channel_cannot_reach_stay(bench: Any, fcm_error: Error) -> None:
    mail = {0: None, 1: "refused", 2: {"is_active": False}, 3: {}, 4: {}}
    plan(bench.lake, 5, mail=mail)
    entry = {
        "entry_id": "g",
        "user_id": "u00000003",
        "channel": "email",
        "since_ts": START - timedelta(days=8),
        "reason": "gone",
    }
    hashed = address_hash(address_key(bench.lake.store), "email", "mail-3")
    bench.lake.append_log(
        "suppressions",
        pa.Table.from_pylist(
            [{**entry, "address_hash": hashed}], schema=arrow.schema(dataset("suppressions"))
        ),
    )
    bench.deliver(gone(bench, fcm_error, 5))
    bench.deliver()
    assert tokens(bench) == ["mail-4"]


def test_an_address_of_another_is_not_fallen_over_to(bench: Any, fcm_error: Error) -> None:
    earlier = START - timedelta(days=30)
    mail = {
        0: {"address": "Jo@B\u00fccher.example", "registered_ts": earlier},
        1: {"address": "jo@xn--bcher-kva.example "},  # the same mailbox, and its owner since
        2: {"address": "ann@m.example"},
        3: {"address": "Ann@m.example", "is_active": False, "registered_ts": START},  # takes nothing away
        4: {"address": "bo@m.example"},
        5: {
            "address": "bo@m.example",
            "registered_ts": START - timedelta(days=2),
        },  # but a provider called it gone for u5
    }
    plan(bench.lake, 6, mail=mail)
    hashed = address_hash(address_key(bench.lake.store), "email", "BO@m.example")
    since = START - timedelta(days=1)
    entry = {"entry_id": "g", "user_id": "u00000005", "channel": "email", "since_ts": since, "reason": "gone"}
    schema = arrow.schema(dataset("suppressions"))
    rows = pa.Table.from_pylist([{**entry, "address_hash": hashed}], schema=schema)
    bench.lake.append_log("suppressions", rows)
    bench.deliver(gone(bench, fcm_error, 6))
    bench.deliver()
    assert tokens(bench) == ["ann@m.example", "bo@m.example", "jo@xn--bcher-kva.example "]


def test_a_suppression_since_then_holds_there_too(bench: Any, fcm_error: Error) -> None:
    plan(bench.lake, 2)
    bench.deliver(gone(bench, fcm_error, 2))
    entry = {
        "entry_id": "e",
        "user_id": "u00000000",
        "channel": None,
        "address_hash": None,
        "since_ts": START,
        "reason": "unsubscribed",
    }
    bench.lake.append_log(
        "suppressions", pa.Table.from_pylist([entry], schema=arrow.schema(dataset("suppressions")))
    )
    assert bench.deliver().delivered == {"accepted": 1, "skipped": 1}
    assert tokens(bench) == ["mail-1"]


def test_never_after_ambiguous(bench: Any, fcm_error: Error) -> None:
    """Neither when nobody knows, nor when a released row then turns out to be gone.

    The first try may have arrived.
    """
    plan(bench.lake, 4)
    bench.deliver(
        lambda _, message: Answer(0, failure=UNKNOWN) if message["token"] < "sandbox-00000002" else OK
    )
    release(bench.lake, DS, None, dry_run=False)
    bench.deliver(lambda *_: fcm_error(404, "UNREGISTERED"))
    assert len(bench.wire.requests) == 2
    assert bench.lake.partitions(FALLOVER, ds=DS) == []


def test_other_refusals_stay_refusals(bench: Any, fcm_error: Error) -> None:
    plan(bench.lake, 3)
    bench.deliver(lambda *_: fcm_error(400, "INVALID_ARGUMENT"))
    assert bench.lake.partitions(FALLOVER, ds=DS) == []


def test_a_worker_that_dies_before_it_is_done_falls_over_once(
    bench: Any, monkeypatch: pytest.MonkeyPatch, fcm_error: Error
) -> None:
    plan(bench.lake, 3)
    finish = Ledger.finish
    monkeypatch.setattr(Ledger, "finish", lambda *_: (_ for _ in ()).throw(AngeliaError("killed")))
    with pytest.raises(AngeliaError, match="killed"):
        bench.deliver(gone(bench, fcm_error, 3))
    monkeypatch.setattr(Ledger, "finish", finish)
    bench.deliver(takeover=True)
    (leaf,) = bench.lake.partitions(FALLOVER, ds=DS)
    assert bench.lake.require(FALLOVER, **leaf).number == 1
    bench.deliver()
    assert len(bench.ledger()) == 6


def test_a_channel_nobody_set_up_keeps_no_other_from_going(
    bench: Any, monkeypatch: pytest.MonkeyPatch, fcm_error: Error
) -> None:
    plan(bench.lake, 4)
    bench.deliver(gone(bench, fcm_error, 2))
    provider = bench._provider

    def only_fcm(config: Any) -> Any:
        if config.channel != "fcm":
            raise InvalidInput("channel email has no credentials")
        return provider(config)

    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", only_fcm)
    result = bench.deliver()
    assert result.halted == {"email": "channel email has no credentials"}
    assert status(bench.lake, DS)["rows_open"] == 2
    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", provider)
    assert bench.deliver().delivered == {"accepted": 2}


def test_a_manifest_that_cites_no_endpoints_falls_over_nowhere(bench: Any, fcm_error: Error) -> None:
    bench.plan(3)
    bench.deliver(gone(bench, fcm_error, 3))
    assert bench.lake.partitions(FALLOVER, ds=DS) == []

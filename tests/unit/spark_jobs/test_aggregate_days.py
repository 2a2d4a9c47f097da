"""aggregate_days: every source row is in a day or counted under a reason.

Late rows rebuild their day, and reruns write the same bytes.
"""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset, ids
from angelia.errors import InvalidInput
from spark_jobs import aggregate_days
from spark_jobs.running.session import run_job
from tests.user_index import append_people

TODAY = datetime(2026, 11, 14, tzinfo=UTC)
DS = "2026-11-14"


def ds(days_ago: int) -> str:
    return (TODAY - timedelta(days=days_ago)).date().isoformat()


def event(name, user, kind="view", item=None, value=None, days_ago=0, hour=9):
    at = TODAY - timedelta(days=days_ago) + timedelta(hours=hour)
    return {
        "event_id": name,
        "user_id": user,
        "event_type": kind,
        "item": item,
        "value": value,
        "event_ts": at,
    }


def put(lake, name, rows, **leaf) -> None:
    loose = pa.schema([field.with_nullable(True) for field in arrow.schema(dataset(name))])
    with lake.attempt(name, **leaf) as attempt:
        attempt.write(pa.Table.from_pylist(rows, schema=loose), "part-0000.parquet", conform=False)
        attempt.publish()


def push(user, days_ago, opened=None, campaign="sale"):
    sent = TODAY - timedelta(days=days_ago) + timedelta(hours=23)
    return {
        "message_id": ids.message_id(campaign, user, ds(days_ago)), "user_id": user, "campaign_id": campaign,
        "material_id": "m", "channel": "fcm",
        "sent_ts": sent, "slot_propensity": 0.1, "material_propensity": 0.5,
        "opened_ts": None if opened is None else sent + timedelta(hours=opened),
    }  # fmt: skip


def receipt(message, user, kind, at):
    return {
        "receipt_id": f"{message}-{kind}", "dispatch_id": "0" * 32, "message_id": message, "user_id": user,
        "campaign_id": "sale", "material_id": "m",
        "channel": "fcm", "kind": kind, "receipt_ts": at, "sent_ts": at if kind == "accepted" else None,
        "reason": None,
    }  # fmt: skip


@pytest.fixture
def sources(spark, settings_home, lake, monkeypatch):
    """Three days of sources; users a and b are known, with shards of 256 people."""
    monkeypatch.setenv("ANGELIA_SHARD_BITS", "8")
    append_people(
        lake,
        [pa.table({"user_id": ["a", "b"], "ordinal": pa.array([0, 1], pa.uint32())})],
        shard_bits=8,
    )
    put(
        lake,
        "user_events",
        [event("e1", "a", days_ago=2), event("e2", "a", days_ago=2, hour=10), event("e0", "b", days_ago=3)],
        ds=ds(2),
    )
    put(
        lake,
        "user_events",
        [event("e3", "b", "purchase", "book", 0.1, 1), event("e4", "b", "purchase", "book", 0.2, 1, 23)],
        ds=ds(1),
    )
    put(lake, "user_events", [
        event("e5", "a", "open"), event("e6", "a", "view", "camera"), event("e6", "a", "view", "camera"),
        event("e7", "a", "view", "camera", None, 0, 23),
        event("e8", "b", days_ago=2, hour=3), event("e9", "a", days_ago=4), event("e10", "a", days_ago=-1),
        event("e11", "ghost"), event("e12", None),
        event(None, "a"), event("bad id", "a"), event("e13", "a", "Bad Type"), event("e14", "a", None),
        event("e15", "a", "view", "Bad Item"),
        event("e16", "a", "view", None, 1e12), event("e17", "a", "view", None, float("nan")),
        event("e18", "a") | {"event_ts": None},
    ], ds=DS)  # fmt: skip
    put(
        lake, "push_history", [push("a", 1, opened=2), push("b", 1), push("b", 1), push("ghost", 1)], ds=ds(1)
    )
    put(
        lake,
        "push_history",
        [push("a", 0, opened=0.5), push("b", 0, opened=-1), push("b", 1, campaign="other")],
        ds=DS,
    )
    return lake


def days_of(lake, days_ago):
    rows = lake.read(lake.require("user_days", ds=ds(days_ago))).to_pylist()
    return [
        (r["ordinal"], r["event_type"], r["item"], r["n_events"], r["value_sum"], r["hours"]) for r in rows
    ]


def pushes_of(lake, day):
    return [
        (r["ordinal"], r["campaign_id"], r["kind"], r["at_ts"])
        for r in lake.read(lake.require("user_pushes", ds=day)).to_pylist()
    ]


def test_bootstrap_accounts_for_every_row(sources) -> None:
    lake = sources
    aggregate_days.main(["--ds", DS, "--days", "3"])
    assert days_of(lake, 2) == [
        (0, "view", None, 2, 0.0, 1 << 9 | 1 << 10),
        (1, "view", None, 1, 0.0, 1 << 3),
    ]
    assert days_of(lake, 1) == [(1, "purchase", "book", 2, 0.3, 1 << 9 | 1 << 23)]
    assert days_of(lake, 0) == [
        (0, "open", None, 1, 0.0, 1 << 9),
        (0, "view", "camera", 2, 0.0, 1 << 9 | 1 << 23),
    ]
    rejects = {day: dict(lake.require("user_days", ds=ds(day)).rejects) for day in (0, 1, 2)}
    assert rejects[2] == {"before_history": 1}  # e0 is of a day the source does not have
    assert rejects[1] == {}
    assert rejects[0] == {
        "duplicate_event": 1, "future": 1, "invalid_event_id": 1, "invalid_item": 1, "invalid_type": 2,
        "invalid_value": 2, "null_event_id": 1,
        "null_event_ts": 1, "too_late": 1, "unknown_user": 2,
    }  # fmt: skip
    rows_in = sum(lake.require("user_events", ds=ds(day)).rows for day in (0, 1, 2))
    rows_out = sum(lake.require("user_days", ds=ds(day)).meta["n_events"] for day in (0, 1, 2))
    assert rows_in == rows_out + sum(sum(found.values()) for found in rejects.values())
    assert lake.head("user_days", ds=ds(3)) is None

    yesterday, today = TODAY - timedelta(hours=1), TODAY + timedelta(hours=23)
    assert pushes_of(lake, ds(1)) == [(0, "sale", "sent", yesterday), (1, "sale", "sent", yesterday)]
    assert pushes_of(lake, DS) == [
        (0, "sale", "opened", TODAY + timedelta(hours=1)),
        (0, "sale", "sent", today),
        (0, "sale", "opened", today + timedelta(hours=0.5)),
        (1, "sale", "sent", today),
    ]
    assert dict(lake.require("user_pushes", ds=ds(1)).rejects) == {"duplicate_push": 1, "unknown_user": 1}
    assert dict(lake.require("user_pushes", ds=DS).rejects) == {"opened_before_sent": 1, "wrong_day": 1}


def test_a_night_rebuilds_the_days_that_late_rows_belong_to(sources) -> None:
    lake = sources
    aggregate_days.main(["--ds", ds(1), "--days", "2"])
    assert days_of(lake, 2) == [(0, "view", None, 2, 0.0, 1 << 9 | 1 << 10)]
    untouched = lake.require("user_days", ds=ds(1))
    aggregate_days.main(["--ds", DS])
    assert days_of(lake, 2) == [
        (0, "view", None, 2, 0.0, 1 << 9 | 1 << 10),
        (1, "view", None, 1, 0.0, 1 << 3),
    ]
    assert dict(lake.require("user_days", ds=ds(2)).rejects) == {"before_history": 1}
    assert lake.require("user_days", ds=ds(1)).ref == untouched.ref  # nothing late for it
    night = [[entry.sha256 for entry in lake.require("user_days", ds=ds(day)).files] for day in (0, 1, 2)]
    aggregate_days.main(["--ds", DS, "--days", "3"])  # in one go: the same bytes
    assert [
        [entry.sha256 for entry in lake.require("user_days", ds=ds(day)).files] for day in (0, 1, 2)
    ] == night


def test_rows_are_late_for_three_days_and_then_too_late(sources) -> None:
    lake = sources
    for back in (4, 3):
        put(lake, "user_events", [event(f"old{back}", "a", days_ago=back)], ds=ds(back))
    known = lake.read(lake.require("user_events", ds=DS)).to_pylist()
    put(lake, "user_events", [*known, *(event(f"late{back}", "b", days_ago=back) for back in (3, 4))], ds=DS)
    aggregate_days.main(["--ds", ds(1), "--days", "4"])
    assert [(row[0], row[3]) for row in days_of(lake, 3)] == [(0, 1), (1, 1)]
    aggregate_days.main(["--ds", DS])
    assert [(row[0], row[3]) for row in days_of(lake, 3)] == [(0, 1), (1, 2)]
    assert [(row[0], row[3]) for row in days_of(lake, 4)] == [(0, 1)]
    assert lake.require("user_days", ds=DS).rejects["too_late"] == 2  # and one that was there before


@pytest.mark.pain(15)
def test_receipts_become_pushes_once_without_robots(sources) -> None:
    lake = sources
    message, other = ids.message_id("sale", "a", "x"), ids.message_id("sale", "b", "x")
    put(lake, "push_receipts", [
        receipt(message, "a", "ambiguous", TODAY + timedelta(days=1, hours=5)),
        receipt(message, "a", "accepted", TODAY + timedelta(days=2, hours=1)),
        receipt(message, "a", "opened", TODAY + timedelta(days=1, hours=6)) | {"receipt_id": "scan",
        "reason": "machine"},
        receipt(message, "a", "opened", TODAY + timedelta(days=2, hours=2)),
        receipt(other, "b", "rejected", TODAY + timedelta(days=1, hours=5)),
    ], ds=DS, source="worker", part="p0")  # fmt: skip
    manifest = dict.fromkeys(dataset("dispatch_manifest").names) | {
        "message_id": message,
        "slot_propensity": 0.25,
        "material_propensity": 0.75,
    }
    put(lake, "dispatch_manifest", [manifest], ds=DS)
    for day in (-1, -2):
        put(lake, "user_events", [event(f"n{day}", "a", days_ago=day)], ds=ds(day))
        aggregate_days.main(["--ds", ds(day)])
    first = lake.read(lake.require("user_pushes", ds=ds(-1))).to_pylist()
    assert [(r["kind"], r["at_ts"], r["slot_propensity"], r["material_propensity"]) for r in first] == [
        ("sent", TODAY + timedelta(days=1, hours=5), 0.25, 0.75)
    ]
    assert dict(lake.require("user_pushes", ds=ds(-1)).rejects) == {
        "machine_open": 1
    }  # a mail scanner's click says nothing about the person
    # The true answer of the next day upgrades the ambiguous one: it is no second push.
    assert [row[2] for row in pushes_of(lake, ds(-2))] == ["opened"]


def test_days_without_sources_are_refused(spark, settings_home, lake) -> None:
    append_people(
        lake,
        [pa.table({"user_id": ["a"], "ordinal": pa.array([0], pa.uint32())})],
        shard_bits=14,
    )
    with pytest.raises(InvalidInput, match="user_events has no rows"):
        aggregate_days.main(["--ds", DS])
    assert lake.head("user_days", ds=DS) is None


def test_a_source_without_a_column_is_refused_by_name(spark, settings_home, lake, capsys) -> None:
    append_people(
        lake,
        [pa.table({"user_id": ["a"], "ordinal": pa.array([0], pa.uint32())})],
        shard_bits=14,
    )
    with lake.attempt("user_events", ds=DS) as attempt:
        attempt.write(pa.table({"event_id": ["e"], "user_id": ["a"]}), "part-0000.parquet", conform=False)
        attempt.publish()
    assert run_job(aggregate_days.main, ["--ds", DS]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert "has no column event_type, item, value, event_ts; it has 2" in error

"""Answers to a delivered plan follow the truth and the contract, and repeat; the day after."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from angelia.cli import main
from angelia.contracts import arrow, dataset, ids
from angelia.contracts.constraints import constraints
from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.quality.gates import measure
from angelia.world import respond as respond_module
from angelia.world.clock import day_number
from angelia.world.create import create_world
from angelia.world.parameters import parameters
from angelia.world.respond import RECEIPTS, respond

DS, NEXT = "2026-11-14", "2026-11-15"
START = datetime(2026, 11, 15, 4, tzinfo=UTC)


def plan(
    lake: Lake,
    ds: str,
    users: list[str],
    *,
    channel: str = "fcm",
    material: str = "price_drop_camera",
    start: datetime = START,
) -> None:
    """Commit a manifest of one message to each user, an hour apart by position."""
    campaign = material.rsplit("_", 1)[0]
    n = len(users)
    messages = [ids.message_id(campaign, user, f"{ds}{channel}") for user in users]
    table = valid_rows("dispatch_manifest", n, ds=ds)
    sent = [start + timedelta(minutes=20 * (k % 60)) for k in range(n)]
    columns: dict[str, Any] = {
        "dispatch_id": [ids.dispatch_id(message, channel, "a") for message in messages],
        "message_id": messages,
        "user_id": users,
        "campaign_id": [campaign] * n,
        "material_id": [material] * n,
        "topic": ["promo"] * n,
        "channel": [channel] * n,
        "send_ts": sent,
    }
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )
    with lake.attempt("dispatch_manifest", ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish()


def deliver(lake: Lake, ds: str, outcomes: list[str] | None = None) -> None:
    """Commit the ledger of the plan in two parts.

    Everything is accepted at its planned instant unless `outcomes` says otherwise.
    """
    rows = lake.read(lake.require("dispatch_manifest", ds=ds)).to_pylist()
    for part in (0, 1):
        mine = rows[part::2]
        ledger = [
            {
                name: row[name]
                for name in ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")
            }
            | {
                "outcome": outcomes[part + 2 * k] if outcomes else "accepted",
                "reason": None,
                "provider_id": "p",
                "sent_ts": row["send_ts"],
                "n_attempts": 1,
                "payload_sha256": None,
            }
            for k, row in enumerate(mine)
        ]
        with lake.attempt("delivery_ledger", ds=ds, send_hour=f"{ds}T04", part=f"{part:04d}") as attempt:
            attempt.write(
                pa.Table.from_pylist(ledger, schema=arrow.schema(dataset("delivery_ledger"))),
                "ledger.parquet",
            )
            attempt.publish()


@pytest.fixture
def answered(tmp_path: Path) -> tuple[Lake, str]:
    """Return a fresh world of 1,500 people, 3 days, with a delivered plan to all of them."""
    root = str(tmp_path / "angelia home" / "lake")
    lake = Lake.open(root)
    create_world(lake, root, users=1_500, days=3, seed=2, anchor_day=day_number(DS))
    plan(lake, DS, [f"u{k:07d}" for k in range(1_500)])
    deliver(lake, DS)
    return lake, root


def receipts(lake: Lake, ds: str = DS) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.read(lake.require("push_receipts", ds=ds, **RECEIPTS)).to_pylist()
    return rows


def test_receipts_obey_their_contract_and_reality(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    done = respond(lake, root, DS, next_day=False)
    rows = receipts(lake)
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["delivered"] + kinds["bounced"] <= 1_500
    assert abs(kinds["delivered"] / 1_500 - parameters().response.delivered_share) < 0.03
    assert 40 < kinds["opened"] < 250
    assert done["receipts"]["opened"] == kinds["opened"]
    assert lake.head("user_events", ds=NEXT) is None
    delivered = {row["dispatch_id"] for row in rows if row["kind"] == "delivered"}
    for row in rows:
        assert timedelta(0) < row["receipt_ts"] - row["sent_ts"] < timedelta(hours=24)
        if row["kind"] in ("opened", "unsubscribed"):
            assert row["dispatch_id"] in delivered
    assert [row["receipt_ts"] for row in rows] == sorted(row["receipt_ts"] for row in rows)
    measures = measure(lake, "push_receipts", DS)
    for check in constraints(dataset("push_receipts")):
        assert not measures.n_bad[check.name], check.name


def test_asking_again_changes_nothing(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    names = ("user_events", "user_profiles", "user_endpoints", "user_preferences")
    respond(lake, root, DS)
    before = [
        lake.require("push_receipts", ds=DS, **RECEIPTS),
        *(lake.require(name, ds=NEXT) for name in names),
    ]
    respond(lake, root, DS, processes=2)
    assert [
        lake.require("push_receipts", ds=DS, **RECEIPTS),
        *(lake.require(name, ds=NEXT) for name in names),
    ] == before
    assert {commit.number for commit in before} == {1}


def test_a_damaged_answer_is_mended(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    respond(lake, root, DS, next_day=False)
    first = lake.require("push_receipts", ds=DS, **RECEIPTS)
    path = lake.store.local_path(first.files[0].path)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-10])
    respond(lake, root, DS, next_day=False)
    second = lake.require("push_receipts", ds=DS, **RECEIPTS)
    assert second.number == 2
    lake.check_bytes(second.files[0])


def test_only_accepted_rows_are_answered(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    outcomes = ["accepted", "rejected", "ambiguous", "skipped", "deferred"] * 300
    deliver(lake, DS, outcomes)
    respond(lake, root, DS, next_day=False)
    first = receipts(lake)
    accepted = {
        row["dispatch_id"]
        for leaf in lake.partitions("delivery_ledger", ds=DS)
        for row in lake.read(lake.require("delivery_ledger", **leaf)).to_pylist()
        if row["outcome"] == "accepted"
    }
    assert len(accepted) == 300
    assert {row["dispatch_id"] for row in first} <= accepted
    deliver(lake, DS)
    respond(lake, root, DS, next_day=False)
    more = {row["receipt_id"]: row for row in receipts(lake)}
    assert len(more) > 4 * len(first)
    assert all(more[row["receipt_id"]] == row for row in first)


def test_yesterdays_pushes_tire(tmp_path: Path) -> None:
    opens = []
    for rounds in (0, 6):
        root = str(tmp_path / f"lake-{rounds}")
        lake = Lake.open(root)
        create_world(lake, root, users=4_000, days=1, seed=2, anchor_day=day_number(DS))
        users = [f"u{k:07d}" for k in range(4_000)]
        for back in range(1, rounds + 1):
            day = f"2026-11-{14 - back:02d}"
            plan(lake, day, users, material="win_back_camera", start=START - timedelta(hours=8 * back))
            deliver(lake, day)
        plan(lake, DS, users)
        deliver(lake, DS)
        opens.append(respond(lake, root, DS, next_day=False)["receipts"]["opened"])
    assert opens[1] < 0.75 * opens[0]


def test_machines_open_mails_only(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    plan(lake, DS, [f"u{k:07d}" for k in range(1_500)], channel="email")
    for leaf in lake.partitions("delivery_ledger", ds=DS):
        with lake.attempt("delivery_ledger", **leaf) as attempt:
            attempt.write(arrow.schema(dataset("delivery_ledger")).empty_table(), "ledger.parquet")
            attempt.publish()
    deliver(lake, DS)
    respond(lake, root, DS, next_day=False)
    machine = [row for row in receipts(lake) if row["reason"] == "machine"]
    assert 0.2 < len(machine) / 1_500 < 0.4
    assert all(
        row["kind"] == "opened" and row["receipt_ts"] - row["sent_ts"] < timedelta(seconds=30)
        for row in machine
    )


def test_the_next_day_learns_from_the_answers(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    respond(lake, root, DS)
    rows = receipts(lake)
    profiles = lake.read(lake.require("user_profiles", ds=NEXT), ["user_id"])["user_id"].to_pylist()
    assert "u0001500" in profiles, "somebody signed up"
    endpoints = lake.read(lake.require("user_endpoints", ds=NEXT)).to_pylist()
    dead = {row["user_id"] for row in rows if row["kind"] == "bounced"}
    assert dead
    assert not [
        row for row in endpoints if row["user_id"] in dead and row["channel"] == "fcm" and row["is_active"]
    ]
    out = {
        (row["user_id"], row["name"])
        for row in lake.read(lake.require("user_preferences", ds=NEXT)).to_pylist()
        if not row["is_opted_in"]
    }
    end = datetime(2026, 11, 16, tzinfo=UTC)
    refused = {
        (row["user_id"], "promo") for row in rows if row["kind"] == "unsubscribed" and row["receipt_ts"] < end
    }
    assert refused <= out
    opened = {
        row["user_id"]: row["receipt_ts"]
        for row in rows
        if row["kind"] == "opened" and row["receipt_ts"] < end
    }
    events: dict[str, list[datetime]] = {}
    for row in lake.read(lake.require("user_events", ds=NEXT)).to_pylist():
        if row["user_id"]:
            events.setdefault(row["user_id"], []).append(row["event_ts"])
    visited = [
        any(timedelta(0) <= at - when < timedelta(seconds=5) for at in events.get(user, []))
        for user, when in opened.items()
    ]
    assert len(opened) > 30
    assert np.mean(visited) > 0.95  # all but a few soiled rows
    for name in ("user_profiles", "user_endpoints", "user_preferences", "user_events"):
        measures = measure(lake, name, NEXT)
        for check in constraints(dataset(name)):
            assert 100 * (measures.n_bad[check.name] or 0) <= check.tolerated_pct * measures.n_rows, (
                check.name
            )


def test_refusals_and_dead_addresses_stay(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    respond(lake, root, DS)
    plan(lake, NEXT, [f"u{k:07d}" for k in range(20)], start=START + timedelta(days=1))
    deliver(lake, NEXT)
    respond(lake, root, NEXT)
    dead = {row["user_id"] for row in receipts(lake) if row["kind"] == "bounced"}
    third = lake.read(lake.require("user_endpoints", ds="2026-11-16")).to_pylist()
    assert not [
        row for row in third if row["user_id"] in dead and row["channel"] == "fcm" and row["is_active"]
    ]
    # Opens of the first plan's last hours happen on the third day.
    assert lake.require("user_events", ds="2026-11-16").rows > 100


def test_nothing_delivered_yet_is_said(tmp_path: Path) -> None:
    root = str(tmp_path / "lake")
    lake = Lake.open(root)
    create_world(lake, root, users=50, days=1, seed=2, anchor_day=day_number(DS))
    with pytest.raises(NotFound, match="dispatch_manifest"):
        respond(lake, root, DS)
    plan(lake, DS, ["u0000001"])
    with pytest.raises(NotFound, match="has been delivered"):
        respond(lake, root, DS)
    assert lake.head("push_receipts", ds=DS, **RECEIPTS) is None


def test_an_empty_plan_has_no_receipts_and_a_next_day(tmp_path: Path) -> None:
    root = str(tmp_path / "lake")
    lake = Lake.open(root)
    create_world(lake, root, users=50, days=1, seed=2, anchor_day=day_number(DS))
    plan(lake, DS, [])
    done = respond(lake, root, DS)
    assert done["receipts"]["delivered"] == 0
    assert lake.require("user_profiles", ds=NEXT).rows == 51


def test_foreign_users_are_counted_not_answered(answered: tuple[Lake, str]) -> None:
    lake, root = answered
    plan(lake, DS, ["u0000001", "customer-1", "u0009999"])
    for leaf in lake.partitions("delivery_ledger", ds=DS):
        with lake.attempt("delivery_ledger", **leaf) as attempt:
            attempt.write(arrow.schema(dataset("delivery_ledger")).empty_table(), "ledger.parquet")
            attempt.publish()
    deliver(lake, DS)
    assert respond(lake, root, DS, next_day=False)["rejects"] == {"no world user or no time": 2}


def test_command(answered: tuple[Lake, str], settings_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["world", "respond", "--ds", DS, "--no-next-day", "--json"])
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out)["receipts"]["opened"] > 0
    with pytest.raises(SystemExit) as stop:
        main(["world", "respond", "--ds", "2026-12-01"])
    assert stop.value.code == 2
    assert "user_profiles has no commit" in capsys.readouterr().err


def test_a_person_sees_a_message_once_on_any_device(lake: Lake) -> None:
    row = {
        "message_id": "a" * 32, "user_id": "u0000001", "campaign_id": "sale", "material_id": "m",
        "channel": "fcm", "reason": None, "provider_id": None, "sent_ts": START, "n_attempts": 1,
        "payload_sha256": None,
    }  # fmt: skip
    rows = [
        row | {"dispatch_id": f"{n:032x}", "outcome": outcome}
        for n, outcome in enumerate(["rejected", "accepted", "accepted"])
    ]
    rows.append(row | {"dispatch_id": "9" * 32, "message_id": "b" * 32, "outcome": "accepted"})
    with lake.attempt("delivery_ledger", ds=DS, send_hour="2026-11-15T04", part="0") as attempt:
        attempt.write(pa.Table.from_pylist(rows, arrow.schema(dataset("delivery_ledger"))), "ledger.parquet")
        attempt.publish()
    _, accepted = respond_module._ledger(lake, DS)
    assert accepted["dispatch_id"].to_pylist() == [f"{1:032x}", "9" * 32]

"""The worker over a fake wire on a simulated clock.

Every row ends accounted for, whatever the provider does.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.fcm import BASE_URL, FcmAdapter
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options
from angelia.delivery.worker.run import Delivery
from angelia.errors import Corrupt, InvalidInput
from angelia.transport.wire import Answer
from angelia.users.suppressions import Guards
from tests.unit.delivery.given import DS, HOUR, LOST, OK, START, Error, stop, suppress


def test_every_row_is_accepted_and_a_second_run_sends_nothing(bench: Any) -> None:
    bench.plan(450)
    result = bench.deliver()
    assert result.delivered == {"accepted": 450}
    assert len(bench.wire.requests) == 450
    ledger = bench.ledger()
    assert len(ledger) == 450
    assert {row["outcome"] for row in ledger.values()} == {"accepted"}
    assert all(
        row["payload_sha256"] and row["provider_id"] and row["n_attempts"] == 1 and row["sent_ts"] >= START
        for row in ledger.values()
    )
    again = bench.deliver()
    assert (again.delivered, again.already_delivered, bench.wire.requests) == ({}, 450, [])


def test_receipts_have_plan_day_source_and_idempotent_ids(bench: Any) -> None:
    bench.plan(30)
    bench.deliver(lambda _, message: LOST if message["token"].startswith("sandbox-00000003") else OK)
    leaves = bench.lake.partitions("push_receipts", ds=DS)
    assert leaves == [{"ds": DS, "source": "worker", "part": f"{HOUR}.fcm.medium.0000"}]
    rows = bench.lake.read(bench.lake.require("push_receipts", **leaves[0])).to_pylist()
    assert sorted(row["kind"] for row in rows) == ["accepted"] * 29 + ["ambiguous"]
    assert all(
        row["receipt_id"] == f"{row['dispatch_id']}:{row['kind']}" and row["sent_ts"] is not None
        for row in rows
    )


def test_503_is_deferred_and_accepted_by_a_follow_up(bench: Any, fcm_error: Error) -> None:
    bench.plan(40)
    result = bench.deliver(
        lambda nth, message: (
            fcm_error(503, "UNAVAILABLE") if nth <= 9 and message["token"] < "sandbox-00000005" else OK
        )
    )
    assert result.delivered == {"accepted": 40}
    assert sorted(part.kind for part in bench.parts()) == ["deferred", "plan"]
    rows = bench.ledger()
    assert sorted({row["n_attempts"] for row in rows.values()}) == [1, 10]


def test_a_provider_that_stays_down_leaves_rows_deferred(bench: Any, fcm_error: Error) -> None:
    bench.plan(
        120, not_after=START + timedelta(days=3000)
    )  # simulated time flies while everybody waits; the window must not end first
    at: list[int] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        at.append(bench.clock.now())
        return fcm_error(503, "UNAVAILABLE")

    result = bench.deliver(script)
    assert result.delivered == {"deferred": 120}
    assert bench.delivery.senders.by_channel["fcm"].breaker.n_opened == 1
    # Open after 20 failures (50 may be under way then); from there on single probes, at most one every
    # second, soon one every 30.
    gaps = [(later - earlier) / 1e6 for earlier, later in pairwise(at[70:])]
    assert min(gaps) >= 1.0
    assert min(gaps[10:]) >= 30.0


def test_the_breaker_closes_when_a_probe_succeeds(bench: Any, fcm_error: Error) -> None:
    bench.plan(200, not_after=START + timedelta(days=3000))
    result = bench.deliver(
        lambda _, __: OK if len(bench.wire.requests) > 90 else fcm_error(503, "UNAVAILABLE")
    )
    breaker = bench.delivery.senders.by_channel["fcm"].breaker
    assert result.delivered == {"accepted": 200}
    assert (breaker.n_opened, breaker.is_open, breaker.failures) == (1, False, 0)


def test_gone_addresses_are_not_tried_by_a_later_part(bench: Any, fcm_error: Error) -> None:
    bench.plan(25)
    result = bench.deliver(
        lambda _, message: (
            fcm_error(404, "UNREGISTERED") if message["token"].startswith("sandbox-00000007") else OK
        )
    )
    assert result.delivered == {"accepted": 24, "rejected": 1}
    entries = bench.lake.read_log("suppressions").to_pylist()
    assert [(e["user_id"], e["channel"], e["reason"]) for e in entries] == [("u00000007", "fcm", "gone")]
    assert entries[0]["address_hash"]
    assert "sandbox-00000007" not in json.dumps(entries, default=str)
    guards = Guards(bench.lake, DS, lambda: 0)
    guards._read()
    table = bench.lake.read(bench.lake.require("dispatch_manifest", ds=DS))
    reasons = guards.blocked(
        *(table[name].to_pylist() for name in ("campaign_id", "user_id")), "fcm", table["address"].to_pylist()
    )
    assert [reason for reason in reasons if reason] == ["address_gone"]
    tomorrow = Guards(bench.lake, "2026-11-15", lambda: 0)  # planned after the entry: the night already knew
    tomorrow._read()
    assert not tomorrow.addresses


@pytest.mark.parametrize(("channel", "reason"), [(None, "stopped"), ("fcm", "paused")])
def test_a_stop_in_mid_run_stops_what_is_not_yet_sent(
    bench: Any, monkeypatch: pytest.MonkeyPatch, channel: str | None, reason: str
) -> None:
    bench.plan(1000)
    lease = [1_000_000_000]
    monkeypatch.setattr("angelia.delivery.worker.run.lease_now", lambda: lease[0])

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 300:
            stop(bench.lake, channel=channel)
            lease[0] += 11_000_000  # the list is read again only because it is older than 10 s now
        return OK

    result = bench.deliver(script)
    assert result.delivered["skipped"] + result.delivered["accepted"] == 1000
    assert 300 <= result.delivered["accepted"] <= 300 + 50  # what was under way
    assert {row["reason"] for row in bench.ledger().values()} == {None, reason}


def test_a_resumed_campaign_is_sent(bench: Any) -> None:
    bench.plan(5)
    stop(bench.lake, n=0)
    stop(bench.lake, action="resume", n=1)
    assert bench.deliver().delivered == {"accepted": 5}


def test_a_stop_holds_though_a_resume_bears_a_later_clock(bench: Any) -> None:
    bench.plan(5)
    stop(bench.lake, action="resume", n=3600)
    stop(bench.lake, n=0)
    assert bench.deliver().delivered == {"skipped": 5}


def test_suppressions_hold_for_their_channel_or_all(bench: Any) -> None:
    bench.plan(10)
    suppress(bench.lake, "u00000001")
    suppress(bench.lake, "u00000002", "fcm")
    suppress(bench.lake, "u00000003", "email")
    result = bench.deliver()
    assert result.delivered == {"accepted": 8, "skipped": 2}


def test_an_unreadable_stop_list_means_nothing_is_sent(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.plan(10)
    monkeypatch.setattr(
        "angelia.users.suppressions.Guards._read", lambda self: (_ for _ in ()).throw(OSError("gone"))
    )
    result = bench.deliver(batch_deadline_s=0.6)
    assert bench.wire.requests == []
    assert result.delivered == {"deferred": 10}
    reasons = {row["reason"] for row in bench.ledger().values()}
    assert reasons == {"stop_list_unreadable"}


def test_expiry_and_quiet_hours_hold_when_sending(bench: Any) -> None:
    def after(number: int) -> datetime:
        return START - timedelta(minutes=1) if number == 0 else START + timedelta(hours=2)

    bench.plan(
        6,
        not_before=START - timedelta(hours=2),
        not_after=after,
        # 04:00 UTC is 05:00 in Berlin (quiet), 09:30 in Kolkata (not), 12:00 in Shanghai
        timezone=lambda number: (
            "UTC",
            "Europe/Berlin",
            "Asia/Kolkata",
            "Asia/Shanghai",
            "Mars/Olympus",
            "Europe/Berlin",
        )[number],
        quiet_start=lambda number: None if number == 0 else 22,
        quiet_end=lambda number: None if number == 0 else 8,
        guarantee=lambda number: "at_least_once" if number == 5 else "at_most_once",
    )
    result = bench.deliver()
    assert result.delivered == {"accepted": 3, "skipped": 3}
    sent = sorted(int(message["token"][8:16]) for message, _ in bench.wire.requests)
    assert sent == [2, 3, 5]
    reasons = sorted(row["reason"] for row in bench.ledger().values() if row["outcome"] == "skipped")
    assert reasons == ["expired", "quiet_hours", "quiet_hours"]


def test_quiet_hours_chosen_after_the_plan_hold(bench: Any) -> None:
    """A sealed row is sent as it stands, less what its person has asked for since."""

    def choose(number: int, hours: str) -> None:
        row = {"user_id": f"u{number:08d}", "kind": "quiet_hours", "name": hours, "is_opted_in": True}
        row["updated_ts"] = START - timedelta(hours=1)
        schema = arrow.schema(dataset("preference_choices"))
        bench.lake.append_log("preference_choices", pa.Table.from_pylist([row], schema=schema))

    bench.plan(
        6,
        timezone=lambda _: "UTC",
        quiet_start=lambda number: 1 if number == 2 else None,
        quiet_end=lambda number: 3 if number == 2 else None,
        guarantee=lambda number: "at_least_once" if number == 3 else "at_most_once",
    )
    choose(0, "3-9")
    choose(1, "9-12")  # not now
    choose(2, "5-7")  # with the hours before, from one to seven
    choose(3, "3-9")  # what is owed is sent whatever the hour
    result = bench.deliver()
    assert result.delivered == {"accepted": 4, "skipped": 2}
    quiet = {row["user_id"][-1] for row in bench.ledger().values() if row["reason"] == "quiet_hours"}
    assert quiet == {"0", "2"}


def test_a_truncated_part_is_found_before_anything_is_sent(bench: Any) -> None:
    bench.plan(50)
    path = bench.lake.store.local_path(bench.parts()[0].entry.path)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Corrupt, match="nothing was sent"):
        bench.deliver()
    assert bench.wire.requests == []
    assert not list(bench.lake.store.list("intents"))


def test_a_flipped_byte_is_found_before_anything_is_sent(bench: Any) -> None:
    bench.plan(50)
    path = bench.lake.store.local_path(bench.parts()[0].entry.path)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="sha256"):
        bench.deliver()
    assert bench.wire.requests == []


def test_the_simulated_clock_refuses_the_provider_itself(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_plan.make(lake, DS, 1)
    monkeypatch.setattr(
        "angelia.delivery.worker.run.open_provider", lambda _: Provider(FcmAdapter("p"), BASE_URL, None)
    )
    with pytest.raises(InvalidInput, match="real provider"):
        asyncio.run(Delivery(lake, Options(DS, (HOUR,), simulated=True)).run())


def test_a_replay_branch_cannot_be_sent(lake: Any) -> None:
    with pytest.raises(InvalidInput, match="only main"):
        Delivery(type(lake)(lake.store, "replay-1"), Options(DS, (HOUR,), simulated=True))

"""Whole runs of a part: what users of other senders suffer from is impossible here.

What needs processes and sockets: tests/faults/test_broadcasts.py.
"""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from angelia.contracts.rows import valid_rows
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.status import release, status
from angelia.delivery.manifest import parts, sample_plan
from angelia.lake import Lake
from angelia.transport.wire import Answer
from tests.unit.delivery.given import DS, HOUR, LOST, OK, START, number_of, stop


@pytest.mark.pain(2)
def test_a_resumed_broadcast_goes_on(bench: Any) -> None:
    bench.plan(3000)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 700:
            signal.raise_signal(signal.SIGTERM)
        return OK

    sent: list[int] = []
    for given in (script, script, lambda *_: OK):
        bench.deliver(given)
        sent += [number_of(message) for message, _ in bench.wire.requests]
    assert sorted(sent) == list(range(3000))  # each once, none from the beginning again
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
@pytest.mark.pain(3)
def test_a_crash_after_rows_were_taken_is_no_success(guarantee: str, bench: Any) -> None:
    """A worker took two batches and died before a single request: the part is not finished."""
    bench.plan(450, guarantee=guarantee)
    commit = parts.seal(bench.lake, DS, HOUR, "2026-11-15T04:00:00+00:00")
    [part] = parts.parts_of(bench.lake, commit, HOUR)
    dead = replace(Owner.this_process(), pid=2**22 + 1, started="1")
    ledger = Ledger(bench.lake.store, dead, lambda: 1_000_000)
    claim = ledger.claim(part)
    assert claim is not None
    for k in (0, 1):
        assert ledger.intend(claim, k, 100, 100, 2_000_000)
    before = status(bench.lake, DS)
    assert (before["parts_done"], before["rows_open"], before["open_intents"], before["rows_intended"]) == (
        0,
        450,
        2,
        200,
    )
    bench.deliver()
    outcomes = Counter(row["outcome"] for row in bench.ledger().values())
    assert outcomes == (
        {"ambiguous": 200, "accepted": 250} if guarantee == "at_most_once" else {"accepted": 450}
    )
    assert len(bench.wire.requests) == outcomes["accepted"]
    assert status(bench.lake, DS)["rows_open"] == 0


@pytest.mark.pain(4)
def test_a_rejection_repeats_nobody_elses_message(bench: Any, fcm_error: Any) -> None:
    bench.plan(500)
    requests: list[int] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        requests.append(number_of(message))
        return fcm_error(400, "INVALID_ARGUMENT") if number_of(message) == 250 else OK

    for _ in range(3):
        bench.deliver(script)
    assert sorted(requests) == list(range(500))  # three runs, one request each, the rejected one included
    assert Counter(row["outcome"] for row in bench.ledger().values()) == {"accepted": 499, "rejected": 1}


@pytest.mark.pain(9)
def test_a_stop_reaches_all_that_still_waits(
    bench: Any, fcm_error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this hour, in the next, and in the follow-up part of what the provider had put off."""
    sample_plan.make(bench.lake, DS, 1000, hours=(4, 5))
    lease = [1_000_000_000]
    monkeypatch.setattr("angelia.delivery.worker.run.lease_now", lambda: lease[0])
    after: list[int] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 300:
            stop(bench.lake)
            lease[0] += 11_000_000  # the list is at most ten seconds old
        if len(bench.wire.requests) > 300:
            after.append(number_of(message))
        return fcm_error(503, "UNAVAILABLE") if number_of(message) % 10 == 0 else OK

    bench.deliver(script, hours=(HOUR, "2026-11-15T05"))
    assert len(after) <= 50  # what was under way
    outcomes = Counter((row["outcome"], row["reason"]) for row in bench.ledger().values())
    assert set(outcomes) <= {("accepted", None), ("skipped", "stopped")}
    assert outcomes["skipped", "stopped"] >= 650
    bench.deliver(lambda *_: OK, hours=(HOUR, "2026-11-15T05"))
    assert bench.wire.requests == []


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.pain(10)
def test_lists_that_are_rebuilt_hold_up_no_sending(
    published: bool, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index and a list are written from before the first request until after the last.

    Or they become the newest in mid-run.
    """
    quiet = type(bench)(Lake.open(str(tmp_path / "quiet")), monkeypatch)
    quiet.plan(450)
    expected, took = quiet.deliver(), quiet.clock.now()  # simulated: it passes only where the worker waits
    bench.plan(450)
    rebuilt = {
        "user_index": {"chain": "0"},
        "bitmap_index": {"ds": DS},
        "user_lists": {"list": "vip"},
        "audience_members": {"ds": DS},
    }
    monkeypatch.setattr("angelia.delivery.worker.run.open_provider", bench._provider)
    with ExitStack() as stack:
        attempts = [stack.enter_context(bench.lake.attempt(name, **leaf)) for name, leaf in rebuilt.items()]
        for attempt in attempts:
            attempt.write(valid_rows(attempt.name, 50), "part-0000.parquet")

        def script(nth: int, message: dict[str, Any]) -> Answer:
            if published and len(bench.wire.requests) == 150:
                for attempt in attempts:
                    attempt.publish()
            return OK

        result = bench.deliver(script)
        assert all((bench.lake.head(name, **leaf) is not None) is published for name, leaf in rebuilt.items())
    assert (replace(result, seconds=0.0), bench.clock.now()) == (replace(expected, seconds=0.0), took)
    assert bench.ledger() == quiet.ledger()
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}


@pytest.mark.pain(11)
def test_what_may_have_arrived_counts_once(bench: Any) -> None:
    """Lost answers, releases and repeats neither hide a message from the caps nor double it.

    Caps are counted per message, from receipts and from what is sealed.
    """
    bench.plan(90, guarantee=lambda n: "at_least_once" if n % 3 == 0 else "at_most_once")

    def counted() -> Counter[str]:
        outcomes: Counter[str] = Counter()
        for leaf in bench.lake.partitions("push_receipts", ds=DS):
            rows = bench.lake.read(bench.lake.require("push_receipts", **leaf)).to_pylist()
            outcomes.update(
                row["message_id"]
                for row in rows
                if row["kind"] in ("accepted", "ambiguous") and row["sent_ts"] is not None
            )
        return outcomes

    manifest = set(bench.lake.read(bench.lake.require("dispatch_manifest", ds=DS))["message_id"].to_pylist())
    bench.deliver(lambda nth, message: LOST if nth == 1 and number_of(message) % 2 else OK)
    assert counted() == dict.fromkeys(manifest, 1)
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted", "ambiguous"}
    # A plan made again for this day leaves them out.
    sealed = [entry for files in parts.sealed_files(bench.lake, DS).values() for entry in files]
    assert {key for e in sealed for key in bench.lake.read_file(e)["message_id"].to_pylist()} == manifest
    release(bench.lake, DS, None, dry_run=False)
    stop(bench.lake)  # released and then not sent after all: it may still have arrived the first time
    bench.deliver()
    assert bench.wire.requests == []
    assert counted() == dict.fromkeys(manifest, 1)


@pytest.mark.pain(13)
def test_dead_tokens_go_and_others_stay(bench: Any, fcm_error: Any) -> None:
    dead = {0, 1, 499, 500, 501, 999, 1000, 1001, 1499, 1500, 1698, 1699}
    bench.plan(1700)
    bench.deliver(lambda _, message: fcm_error(404, "UNREGISTERED") if number_of(message) in dead else OK)
    assert sorted(number_of(message) for message, _ in bench.wire.requests) == list(range(1700))
    rows = {int(row["user_id"][1:]): row for row in bench.ledger().values()}
    assert sorted(rows) == list(range(1700))
    assert {
        n for n, row in rows.items() if row["outcome"] == "rejected" and row["reason"] == "gone:UNREGISTERED"
    } == dead
    assert {row["outcome"] for n, row in rows.items() if n not in dead} == {"accepted"}
    assert {int(entry["user_id"][1:]) for entry in bench.lake.read_log("suppressions").to_pylist()} == dead
    # Whoever has the same address in the next hour is not asked again.
    with bench.lake.attempt("dispatch_manifest", ds=DS) as attempt:
        start = START + timedelta(hours=1)
        keys = {"send_hour": "2026-11-15T05", "channel": "fcm", "priority": "medium"}
        again = sample_plan.rows(
            0, 600, start, message_id=lambda n: sample_plan.ids.message_id("other", f"u{n}", "once")
        )
        attempt.write(again, "send_hour=2026-11-15T05/part-0000.parquet", keys=keys)
        for entry in parts.sealed_files(bench.lake, DS)[HOUR]:
            attempt.add(entry)
        attempt.publish(inputs=[bench.lake.require("catalog_snapshot", ds=DS)])
    result = bench.deliver(hours=("2026-11-15T05",))
    assert result.delivered == {"accepted": 600 - 5, "skipped": 5}
    assert not {number_of(message) for message, _ in bench.wire.requests} & dead

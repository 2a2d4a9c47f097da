"""A part on its way: batches keep their size, one worker sends, repeated rows go once."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from angelia.delivery.ledger.ledger import Claim, Intent, Ledger, Owner
from angelia.delivery.sending.rendering import Renderer
from angelia.delivery.worker.part import PartRun
from angelia.transport.wire import Answer
from tests.unit.delivery.given import OK, Error

ELSEWHERE = Owner("elsewhere", "boot", "ns", 1, "1")


def test_a_batch_that_another_worker_intends_is_not_sent(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other worker's intent arrives between our look for intents and our own."""
    bench.plan(250)
    intend = Ledger.intend

    def later(ours: Ledger, claim: Claim, k: int, *facts: Any, **more: Any) -> bool:
        if k == 1:
            theirs = Ledger(ours.store, ELSEWHERE, ours.lease_now)
            assert intend(theirs, replace(claim, epoch=claim.epoch + 1, owner=ELSEWHERE), k, *facts, **more)
        return intend(ours, claim, k, *facts, **more)

    monkeypatch.setattr(Ledger, "intend", later)
    result = bench.deliver()
    assert len(bench.wire.requests) == 150
    assert (result.unfinished, result.delivered) == (1, {"accepted": 150})


def test_a_worker_that_was_taken_over_begins_no_further_batch(bench: Any) -> None:
    bench.plan(3000)
    (part,) = bench.parts()

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 50:
            other = Ledger(bench.lake.store, ELSEWHERE, bench.delivery.ledger.lease_now)
            assert other.claim(part, takeover=True) is not None
        return OK

    result = bench.deliver(script)
    assert result.unfinished == 1
    assert 100 <= len(bench.wire.requests) <= 1000
    assert bench.delivery.ledger.newest_epoch(part.id) == 2


def test_a_part_begun_with_another_batch_size_keeps_it(bench: Any) -> None:
    bench.plan(1000)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 150:
            signal.raise_signal(signal.SIGTERM)
        return OK

    assert bench.deliver(script).drained
    sent = [message["data"]["dispatch_id"] for message, _ in bench.wire.requests]
    assert bench.deliver(batch_rows=70).unfinished == 0
    sent += [message["data"]["dispatch_id"] for message, _ in bench.wire.requests]
    assert sorted(sent) == sorted(bench.ledger())
    (part,) = [part for part in bench.parts() if part.kind == "plan"]
    intents = bench.delivery.ledger.intents(part.id)
    assert {intent.size for standing in intents.values() for intent in standing} == {100}


def test_an_owners_last_request_may_still_be_under_way(bench: Any) -> None:
    """Until its deadline and a request's timeout have passed, by lease time."""
    bench.plan(1)
    (part,) = bench.parts()
    deadline = 1_000_000
    times = [deadline + 1, deadline + 1, deadline + 49_999, deadline + 49_999, deadline + 50_000]
    work: Any = SimpleNamespace(
        lease_now=lambda: times.pop(0), request_timeout_s=0.05, draining=asyncio.Event()
    )
    sender: Any = SimpleNamespace()
    run = PartRun(work, sender, part, Claim(part.id, 2, ELSEWHERE), bench.lake, None, [])  # type: ignore[arg-type]
    standing = Intent(0, 1, "intents/x/000000", ELSEWHERE, deadline, 1, 1)
    assert asyncio.run(run._wait_for_owner([standing]))
    assert times == []


def test_a_repeated_dispatch_id_is_sent_once(bench: Any) -> None:
    bench.plan(6, dispatch_id=lambda number: "ab" * 16 if number in (2, 3) else "")
    result = bench.deliver()
    assert result.delivered == {"accepted": 5, "skipped": 1}
    assert len(bench.wire.requests) == 5


def test_a_payload_that_changed_between_tries_is_refused(
    bench: Any, monkeypatch: pytest.MonkeyPatch, fcm_error: Error
) -> None:
    bench.plan(1)
    texts = iter(range(100))
    monkeypatch.setattr(Renderer, "__call__", lambda *_: (f"title {next(texts)}", "body", None))
    result = bench.deliver(lambda nth, _: fcm_error(503, "UNAVAILABLE") if nth == 1 else OK)
    assert result.delivered == {"rejected": 1}
    assert [row["reason"] for row in bench.ledger().values()] == ["payload_changed"]


def test_sigterm_drains_and_the_next_run_finishes(bench: Any) -> None:
    bench.plan(3000)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 700:
            signal.raise_signal(signal.SIGTERM)
        return OK

    first = bench.deliver(script)
    assert first.drained
    assert first.unfinished == 1
    sent = len(bench.wire.requests)
    assert 700 <= sent <= 700 + 400
    second = bench.deliver()
    assert len(bench.wire.requests) + sent == 3000
    total = first.delivered + second.delivered
    assert total["accepted"] == 3000
    assert {row["outcome"] for row in bench.ledger().values()} == {"accepted"}

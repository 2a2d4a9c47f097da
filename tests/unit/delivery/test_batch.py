"""Rows of one intent: what each answer, or none, makes of a row."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest

from angelia.transport.wire import NOT_SENT, Answer
from tests.unit.delivery.conftest import FakeWire, Keys
from tests.unit.delivery.given import LOST, OK, START, Error


def test_429_slows_down_waits_as_asked_and_loses_nothing(bench: Any, fcm_error: Error) -> None:
    bench.plan(60)
    throttled: list[int] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if nth == 1 and len(throttled) < 20:
            throttled.append(bench.clock.now())
            return fcm_error(429, "QUOTA_EXCEEDED", ((b"retry-after", b"30"),))
        if throttled:
            assert nth == 1 or bench.clock.now() - throttled[0] >= 30_000_000
        return OK

    result = bench.deliver(script)
    assert result.delivered == {"accepted": 60}
    assert len(throttled) == 20
    assert bench.delivery.senders.by_channel["fcm"].bucket.n_decreases >= 1


def test_no_answer_is_ambiguous_or_sent_again_by_guarantee(bench: Any) -> None:
    bench.plan(20, guarantee=lambda number: "at_least_once" if number % 2 else "at_most_once")
    result = bench.deliver(lambda nth, _: LOST if nth == 1 else OK)
    assert result.delivered == {"ambiguous": 10, "accepted": 10}
    assert max(bench.wire.tries.values()) == 2
    marketing = [message for message, _ in bench.wire.requests if int(message["token"][8:16]) % 2 == 0]
    assert len(marketing) == 10


def test_not_sent_is_retried_for_marketing_too(bench: Any) -> None:
    bench.plan(10)
    result = bench.deliver(lambda nth, _: Answer(0, failure=NOT_SENT) if nth < 3 else OK)
    assert result.delivered == {"accepted": 10}


@pytest.mark.parametrize("answer", [(503, "UNAVAILABLE"), (403, "SENDER_ID_MISMATCH"), None])
def test_what_befell_one_request_stops_no_channel(answer: Any, bench: Any, fcm_error: Error) -> None:
    failed = fcm_error(*answer) if answer else Answer(0, failure=NOT_SENT)
    bench.plan(60)
    result = bench.deliver(lambda nth, _: failed._replace(shared=7) if nth == 1 else OK)
    sender = bench.delivery.senders.by_channel["fcm"]
    assert (sender.breaker.n_opened, sender.halted) == (0, None)
    assert result.delivered == {"accepted": 60}


def test_quiet_hours_that_end_within_the_window_are_waited_for(bench: Any) -> None:
    bench.plan(3, timezone="UTC", quiet_start=22, quiet_end=5)  # quiet until 05:00, window until 06:00
    result = bench.deliver()
    assert result.delivered == {"accepted": 3}
    assert bench.clock.now() >= int((START + timedelta(hours=1)).timestamp() * 1e6)


def test_nothing_is_sent_early(bench: Any) -> None:
    bench.plan(5, not_before=START + timedelta(minutes=20))
    seen: list[int] = []
    bench.deliver(lambda _, __: seen.append(bench.clock.now()) or OK)
    assert len(seen) == 5
    assert min(seen) >= int((START + timedelta(minutes=20)).timestamp() * 1e6)


def test_a_stale_token_is_refreshed_once_for_all(bench: Any) -> None:
    bench.plan(80)
    unauthenticated = Answer(401, b'{"error":{"code":401,"status":"UNAUTHENTICATED"}}')

    def script(nth: int, message: dict[str, Any]) -> Answer:
        return unauthenticated if bench.wire.requests[-1][1] == b"Bearer 1" else OK

    assert bench.deliver(script).delivered == {"accepted": 80}
    assert bench.keys.n_refreshes == 2


def test_a_wrong_configuration_halts_and_keeps_the_rows(bench: Any, fcm_error: Error) -> None:
    bench.plan(500)
    result = bench.deliver(lambda _, __: fcm_error(403, "SENDER_ID_MISMATCH"))
    assert "SENDER_ID_MISMATCH" in result.halted["fcm"]
    assert len(bench.wire.requests) <= 10 + 50
    assert result.unfinished == 1
    assert set(result.delivered) == {"deferred"}
    assert bench.deliver().delivered["accepted"] == 500


def test_one_poison_row_does_not_stop_the_others(bench: Any) -> None:
    def fields(number: int) -> str:
        return (
            "{no json"
            if number == 3
            else json.dumps({"campaign_id": "price_drop", "item": "x" * (5000 if number == 4 else 3)})
        )

    bench.plan(10, fields=fields, template_version=lambda number: 9 if number == 5 else 1)
    result = bench.deliver()
    assert result.delivered == {"accepted": 7, "rejected": 3}
    reasons = sorted(row["reason"] for row in bench.ledger().values() if row["reason"])
    assert reasons == ["fields_unreadable", "payload_too_large", "unknown_template"]


def test_a_transport_that_never_answers_holds_nothing_up(bench: Any, caplog: Any) -> None:
    """More than its window: the rows behind wait for room that never comes."""
    bench.plan(60, guarantee=lambda number: "at_least_once" if number % 2 else "at_most_once")
    began = time.monotonic()
    result = bench.deliver(lambda _, __: None, batch_deadline_s=0.5, request_timeout_s=0.05)
    assert time.monotonic() - began < 20
    assert result.delivered == {"ambiguous": 50, "deferred": 10}
    assert {row["reason"] for row in bench.ledger().values()} <= {"no_answer", "deadline"}
    assert "50 requests were never answered" in caplog.text
    assert bench.delivery.senders.by_channel["fcm"].in_flight == 0


def test_a_transport_that_fails_may_have_sent_its_bytes(bench: Any, caplog: Any) -> None:
    bench.plan(10, guarantee=lambda number: "at_least_once" if number % 2 else "at_most_once")

    def script(nth: int, message: dict[str, Any]) -> Answer:
        return OK if nth > 1 else {}[message["token"]]

    result = bench.deliver(script)
    assert result.delivered == {"ambiguous": 5, "accepted": 5}
    assert "KeyError" in caplog.text
    assert not any(message["token"] in caplog.text for message, _ in bench.wire.requests)


def test_a_second_answer_changes_nothing(bench: Any, fcm_error: Error) -> None:
    bench.plan(10)
    submit = FakeWire.submit

    def twice(wire: FakeWire, request: Any, authorization: bytes, done: Any, tag: Any) -> None:
        submit(wire, request, authorization, done, tag)
        asyncio.get_running_loop().call_soon(done, tag, fcm_error(404, "UNREGISTERED"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeWire, "submit", twice)
        assert bench.deliver().delivered == {"accepted": 10}


def test_keys_that_fail_halt_their_channel(bench: Any) -> None:
    bench.plan(10)

    async def refresh(_: Any, stale: bytes | None) -> None:
        raise KeyError("secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keys, "refresh", refresh)
        result = bench.deliver()
    assert "cannot be renewed (KeyError)" in result.halted["fcm"]
    assert bench.deliver().delivered["accepted"] == 10

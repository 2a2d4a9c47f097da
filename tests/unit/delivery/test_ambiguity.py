"""A message that may have arrived stays ambiguous, whatever comes of its later tries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from angelia.delivery.ledger import compaction
from angelia.delivery.ledger.resend import resend
from angelia.delivery.ledger.status import release
from angelia.delivery.sending.rendering import Renderer
from angelia.transport.wire import UNKNOWN, Answer

START = datetime(2026, 11, 15, 4, tzinfo=UTC)
OK = Answer(200, b'{"name":"projects/p/messages/1"}')
LOST = Answer(0, failure=UNKNOWN)
Error = Callable[..., Answer]


def known(bench: Any, later: Answer, **changes: Any) -> list[tuple[str, str | None]]:
    """Return what its part knows of a transactional message whose first try had no answer.

    Later tries are answered `later`. A follow-up part may learn more; it is not asked here.
    """
    bench.plan(1, guarantee="at_least_once", **changes)
    bench.deliver(lambda nth, _: LOST if nth == 1 else later)
    (part,) = [part for part in bench.parts() if part.kind == "plan"]
    rows = compaction.merged(bench.delivery.ledger, [part]).to_pylist()
    return [(row["outcome"], row["reason"]) for row in rows]


def test_marketing_that_may_have_arrived_is_not_sent_again(bench: Any) -> None:
    bench.plan(3)
    for _ in range(2):
        bench.deliver(lambda nth, _: LOST if nth == 1 else OK)
        assert set(bench.wire.tries.values()) <= {1}
    assert {(row["outcome"], row["n_attempts"]) for row in bench.ledger().values()} == {("ambiguous", 1)}


def test_a_rejected_repeat_hides_no_first_try(bench: Any, fcm_error: Error) -> None:
    assert known(bench, fcm_error(404, "UNREGISTERED")) == [("ambiguous", "no_answer")]


def test_a_window_that_closes_hides_no_first_try(bench: Any) -> None:
    assert known(bench, OK, not_after=START + timedelta(milliseconds=1)) == [("ambiguous", "no_answer")]
    assert max(bench.wire.tries.values()) == 1


def test_a_deferred_repeat_hides_no_first_try(bench: Any, fcm_error: Error) -> None:
    assert known(bench, fcm_error(503, "UNAVAILABLE")) == [("ambiguous", "no_answer")]


def test_a_halted_channel_hides_no_first_try(bench: Any, fcm_error: Error) -> None:
    assert known(bench, fcm_error(403, "SENDER_ID_MISMATCH")) == [("ambiguous", "no_answer")]


def test_a_changed_payload_hides_no_first_try(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter(range(100))
    monkeypatch.setattr(Renderer, "__call__", lambda *_: (f"title {next(texts)}", "body", None))
    assert known(bench, OK) == [("ambiguous", "payload_changed")]


def test_a_gone_repeat_keeps_the_instant_of_its_answer(bench: Any, fcm_error: Error) -> None:
    assert known(bench, fcm_error(404, "UNREGISTERED")) == [("ambiguous", "no_answer")]
    (part,) = [part for part in bench.parts() if part.kind == "plan"]
    (gone,) = compaction.merged(bench.delivery.ledger, [part])["gone_us"].to_pylist()
    assert gone is not None
    assert gone >= int(START.timestamp() * 1e6)


def test_a_repeat_that_cannot_be_built_hides_no_first_try(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter([("title", "body", None)])
    monkeypatch.setattr(Renderer, "__call__", lambda *_: next(texts))
    assert known(bench, OK) == [("ambiguous", "no_answer")]


def test_a_refused_follow_up_hides_no_first_try(bench: Any, fcm_error: Error) -> None:
    bench.plan(1, guarantee="at_least_once")
    bench.deliver(lambda nth, _: LOST if nth <= 8 else fcm_error(404, "UNREGISTERED"))
    assert sorted(part.kind for part in bench.parts()) == ["deferred", "plan"]
    ((outcome, reason, n),) = [(r["outcome"], r["reason"], r["n_attempts"]) for r in bench.ledger().values()]
    assert (outcome, reason, n) == ("ambiguous", "no_answer", 9)
    (receipts,) = bench.lake.partitions("push_receipts", ds="2026-11-14")
    kinds = bench.lake.read(bench.lake.require("push_receipts", **receipts), ["kind"])["kind"].to_pylist()
    assert kinds == ["ambiguous"], "caps count it as sent"
    (entry,) = bench.lake.read_log("suppressions").to_pylist()
    assert entry["reason"] == "gone", "the address is closed all the same"


def test_what_was_refused_once_is_not_tried_again(bench: Any, fcm_error: Error) -> None:
    bench.plan(2, guarantee="at_least_once")
    bench.deliver(lambda nth, _: LOST if nth <= 8 else fcm_error(400, "INVALID_ARGUMENT"))
    bench.deliver(lambda *_: OK)
    assert bench.wire.requests == []
    assert release(bench.lake, "2026-11-14", None, dry_run=True)["rows"] == 0
    campaigns = {row["campaign_id"] for row in bench.ledger().values()}
    at = int(START.timestamp() * 1e6)
    counted = resend(bench.lake, ["2026-11-14"], campaigns, at, at)
    assert counted["left_out"] == {"already_ambiguous": 2}


def test_a_gone_repeat_closes_the_address(bench: Any, fcm_error: Error) -> None:
    assert known(bench, fcm_error(404, "UNREGISTERED")) == [("ambiguous", "no_answer")]
    (part,) = [part for part in bench.parts() if part.kind == "plan"]
    gone_us = compaction.merged(bench.delivery.ledger, [part])["gone_us"].to_pylist()
    assert gone_us[0] >= int(START.timestamp() * 1e6), "known before, and without, a follow-up"
    assert [entry["reason"] for entry in bench.lake.read_log("suppressions").to_pylist()] == ["gone"]


def test_a_part_tries_a_message_eight_times(bench: Any, fcm_error: Error) -> None:
    bench.plan(1)
    bench.deliver(lambda nth, _: fcm_error(503, "UNAVAILABLE") if nth <= 8 else OK)
    assert [row["n_attempts"] for row in bench.ledger().values()] == [9]
    assert sorted(part.kind for part in bench.parts()) == ["deferred", "plan"], "the ninth is a follow-up's"

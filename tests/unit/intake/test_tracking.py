"""What the ledger and receipts know becomes a message's steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.contracts.ids import dispatch_id, message_id
from angelia.intake.dispatching.deciding import occurrence_of
from tests.unit.delivery.conftest import error
from tests.unit.delivery.given import LOST, OK
from tests.unit.intake.dispatching import Bench, bench

__all__ = ["bench"]


def test_what_the_provider_says_becomes_a_step(bench: Bench) -> None:
    bench.night(3)
    ids = bench.accept(*({"user_id": f"u000000{i}"} for i in range(3)))
    answers = [OK, LOST, error(404, "UNREGISTERED")]
    bench.wire.script = lambda message: answers[int(message["token"][8:16])]
    report = bench.dispatch()
    assert bench.states(ids) == ["sent", "ambiguous", "failed"]
    assert bench.steps(ids[2])[-1] == ("failed", "gone:UNREGISTERED")
    assert report.steps["ambiguous: no_answer"] == 1
    # Nobody knows of the second: it may be there, so it uses room; the third one's room is free again.
    assert len(bench.batches().sent_to(["u0000001", "u0000002"], 0)) == 1


def test_receipts_come_back_as_steps(bench: Bench) -> None:
    bench.night()
    (message,) = bench.accept({})
    bench.dispatch()
    key = message_id("sale", "u0000000", occurrence_of(message))
    at = datetime.now(UTC).replace(microsecond=0)
    rows = [
        {"receipt_id": kind, "dispatch_id": dispatch_id(key, "fcm", "a"), "message_id": key,
         "user_id": "u0000000", "campaign_id": "sale", "material_id": "plain", "channel": "fcm",
         "kind": kind, "receipt_ts": at + timedelta(seconds=number), "sent_ts": at, "reason": None}
        for number, kind in enumerate(("delivered", "displayed", "opened"))
    ]  # fmt: skip
    ds = (at - timedelta(days=1)).date().isoformat()
    with bench.lake.attempt("push_receipts", ds=ds, source="receive", part="x") as attempt:
        attempt.write(pa.Table.from_pylist(rows, schema=arrow.schema(dataset("push_receipts"))), "a.parquet")
        attempt.publish()
    report = bench.dispatch()
    assert report.steps["opened"] == 1
    assert bench.states([message]) == ["opened"]
    assert {step for step, _ in bench.steps(message)} == {
        "queued",
        "sent",
        "delivered",
        "displayed",
        "opened",
    }

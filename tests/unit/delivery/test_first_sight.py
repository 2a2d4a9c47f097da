"""A dispatch id seen with one payload is refused with another.

After a takeover, in a follow-up part, in another manifest.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.ledger.first_sight import LOOK_BACK_US, OPEN, FirstSeen
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.sending.rendering import Renderer
from angelia.delivery.worker import worker_metrics as metrics
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.metrics import render
from angelia.transport.wire import Answer
from tests.unit.delivery.given import DS, FAR, HOUR, LOST, OK, Error

NEXT, NEXT_HOUR = "2026-11-15", "2026-11-16T04"
PERSON: dict[str, Any] = {  # the same message whatever the day it is planned for
    "message_id": lambda n: sample_plan.ids.message_id("price_drop", f"u{n:08d}", "once"),
    "occurrence": "once",
}


def item(name: str) -> str:
    return json.dumps({"campaign_id": "price_drop", "item": name, "first_name": "Ann"})


def outcomes_of(lake: Lake, ds: str) -> list[tuple[str, str | None]]:
    """Return (outcome, reason) by user."""
    rows = []
    for leaf in lake.partitions("delivery_ledger", ds=ds):
        rows += lake.read(lake.require("delivery_ledger", **leaf)).to_pylist()
    return [(row["outcome"], row["reason"]) for row in sorted(rows, key=lambda row: str(row["user_id"]))]


def forget_citation(lake: Lake, body: str) -> None:
    """Write the plan again, with a catalog snapshot it does not cite, and the template `body`."""
    documents = sample_plan.documents()
    template = json.loads(documents[0]["body"])
    template["variants"]["en"]["body"] = body
    documents[0]["body"] = json.dumps(template)
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(
            pa.Table.from_pylist(documents, schema=arrow.schema(dataset("catalog_snapshot"))),
            "part-0000.parquet",
        )
        attempt.publish()


@pytest.mark.parametrize("changed", [False, True])
def test_a_takeover_refuses_a_template_that_says_something_else(
    changed: bool, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_citation(bench.lake, "first")
    start = datetime(2026, 11, 15, 4, tzinfo=UTC)
    table = sample_plan.rows(
        0,
        6,
        start,
        locale="en",
        guarantee=lambda n: "at_least_once" if n < 4 else "at_most_once",
        not_after=FAR,
    )
    keys = {"send_hour": HOUR, "channel": "fcm", "priority": "medium"}
    with bench.lake.attempt("dispatch_manifest", ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet", keys=keys)
        attempt.publish()
    conclude = Ledger.conclude
    monkeypatch.setattr(Ledger, "conclude", lambda *_: (_ for _ in ()).throw(AngeliaError("no space")))
    with pytest.raises(AngeliaError, match="no space"):
        bench.deliver(batch_deadline_s=0.3, request_timeout_s=0.1)
    monkeypatch.setattr(Ledger, "conclude", conclude)
    assert len(bench.wire.requests) == 6
    if changed:
        forget_citation(bench.lake, "second")
    result = bench.deliver(takeover=True, batch_deadline_s=0.3, request_timeout_s=0.1)
    if changed:
        assert bench.wire.requests == []
        assert (
            outcomes_of(bench.lake, DS)
            == [("ambiguous", "payload_changed")] * 4 + [("ambiguous", "owner_lost")] * 2
        )
        assert 'angelia_deliver_payload_changed_total{ds="2026-11-14",channel="fcm"} 4' in render(
            metrics.families(bench.delivery.senders.by_channel, DS)
        )
    else:
        assert result.delivered == {"accepted": 4, "ambiguous": 2}


def test_a_follow_up_refuses_other_bytes_than_were_sent(
    bench: Any, monkeypatch: pytest.MonkeyPatch, fcm_error: Error
) -> None:
    bench.plan(8, not_after=FAR)
    first = bench.deliver(
        lambda _, message: fcm_error(503, "UNAVAILABLE") if message["token"] < "sandbox-00000005" else OK
    )
    assert first.delivered == {"accepted": 3, "deferred": 5}
    monkeypatch.setattr(Renderer, "__call__", lambda *_: ("another title", "body", None))
    again = bench.deliver()
    assert again.to_json()["delivered"] == {"rejected": 5}
    assert bench.wire.requests == []
    assert outcomes_of(bench.lake, DS) == [("rejected", "payload_changed")] * 5 + [("accepted", None)] * 3


def test_a_released_row_whose_bytes_changed_stays_ambiguous(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from angelia.delivery.ledger.status import release

    bench.plan(2)
    bench.deliver(lambda *_: LOST)
    release(bench.lake, DS, None, dry_run=False)
    monkeypatch.setattr(Renderer, "__call__", lambda *_: ("another title", "body", None))
    bench.deliver()
    assert bench.wire.requests == []
    assert outcomes_of(bench.lake, DS) == [("ambiguous", "payload_changed")] * 2


def test_another_manifest_cannot_send_a_dispatch_again(bench: Any, fcm_error: Error) -> None:
    """Twelve users, by what became of them under the first manifest.

    Users 0-3 got it, 4-5 nobody knows, 6-7 were refused by the provider, 8-9 were never sent, 10-11 are new.
    """

    def first(nth: int, message: dict[str, Any]) -> Answer:
        number = int(message["token"][8:16])
        return OK if number < 4 else LOST if number < 6 else fcm_error(400, "INVALID_ARGUMENT")

    started = datetime(2026, 11, 15, 4, tzinfo=UTC)
    sample_plan.make(
        bench.lake, DS, 10,
        changes={**PERSON, "fields": item("camera"),
        "not_after": lambda n: started + timedelta(hours=2) if n < 8 else started},
    )  # fmt: skip
    bench.deliver(first)
    assert outcomes_of(bench.lake, DS)[8:] == [("skipped", "expired")] * 2
    sample_plan.make(
        bench.lake, NEXT, 12, changes={**PERSON, "fields": lambda n: item("phone" if n % 2 else "camera")}
    )
    bench.deliver(ds=NEXT, hours=(NEXT_HOUR,))
    twice, changed, sent = (
        ("skipped", "duplicate_dispatch"),
        ("rejected", "payload_changed"),
        ("accepted", None),
    )
    assert outcomes_of(bench.lake, NEXT) == [
        twice,
        changed,
        twice,
        changed,
        twice,
        changed,
        sent,
        changed,
        sent,
        sent,
        sent,
        sent,
    ]
    assert len(bench.wire.requests) == 5


def test_a_transactional_message_repeats_its_payload_only(
    bench: Any,
) -> None:
    given = {**PERSON, "guarantee": "at_least_once", "fields": item("camera")}
    sample_plan.make(bench.lake, DS, 4, changes=given)
    bench.deliver(lambda _, message: OK if message["token"] < "sandbox-00000002" else LOST)
    sample_plan.make(
        bench.lake, NEXT, 4, changes={**given, "fields": lambda n: item("phone" if n % 2 else "camera")}
    )
    bench.deliver(ds=NEXT, hours=(NEXT_HOUR,))
    twice, changed, sent = (
        ("skipped", "duplicate_dispatch"),
        ("rejected", "payload_changed"),
        ("accepted", None),
    )
    assert outcomes_of(bench.lake, NEXT) == [twice, changed, sent, changed]


def parts_of(lake: Lake, ds: str, hour: str) -> parts.Part:
    return parts.parts_of(lake, parts.standing_manifest(lake, ds, hour), hour)[0]


def test_of_two_at_once_the_first_to_be_seen_has_the_dispatch(lake: Lake) -> None:
    sample_plan.make(lake, DS, 6, changes=PERSON)
    sample_plan.make(lake, NEXT, 4, changes=PERSON)
    sample_plan.make(lake, "2026-11-16", 4, changes={**PERSON, "occurrence": "2026-11-17"})
    now = [1_000_000_000]
    ledger = Ledger(lake.store, Owner("elsewhere", "boot", "ns", 1, "1"), lambda: now[0])
    first, two, other = (
        parts_of(lake, DS, HOUR),
        parts_of(lake, NEXT, NEXT_HOUR),
        parts_of(lake, "2026-11-16", "2026-11-17T04"),
    )

    def fresh() -> FirstSeen:
        return FirstSeen(lake, ledger, lambda: 0)

    assert fresh().first(two) == {}
    seen = fresh().first(first)
    assert len(seen) == 4
    assert {(earlier.payload, earlier.outcome) for earlier in seen.values()} == {(None, OPEN)}
    assert fresh().first(two) == {}  # asked again, it keeps its number
    assert fresh().first(first) == seen
    assert len(list(lake.store.list("sights"))) == 2
    assert fresh().first(other) == {}  # another occurrence: nothing to compare
    now[0] += LOOK_BACK_US + 1
    assert fresh().first(first) == {}

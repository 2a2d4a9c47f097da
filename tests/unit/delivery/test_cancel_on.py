"""A planned message is withheld once the person did what makes it moot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from angelia.transport.wire import Answer
from angelia.users.events import Happened
from angelia.users.suppressions import EVENTS_AGE_US, Guards
from tests.unit.delivery.given import DS, OK, START

PLANNED_UNTIL = datetime(2026, 11, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sample's campaign say `cancel_on: purchase`."""
    original = sample_plan.documents

    def documents(*given: Any) -> list[dict[str, Any]]:
        body = '{"id": "price_drop", "channels": ["fcm"], "cancel_on": "purchase"}'
        return [*original(*given), {"kind": "campaign", "id": "price_drop", "version": 1, "body": body}]

    monkeypatch.setattr(sample_plan, "documents", documents)


def did(lake: Lake, *events: tuple[int, str, datetime], ds: str = "2026-11-15") -> None:
    """Let events arrive beside the day's earlier ones: (number of the person, type, when)."""
    head = lake.head("user_events", ds=ds)
    rows = [
        {
            "event_id": f"e{who}-{event}-{at.timestamp()}",
            "user_id": f"u{who:08d}",
            "event_type": event,
            "item": None,
            "value": None,
            "event_ts": at,
        }
        for who, event, at in events
    ]
    with lake.attempt("user_events", ds=ds) as attempt:
        for entry in head.files if head is not None else ():
            attempt.add(entry)
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_events")))
        attempt.write(table, f"part-{head.number if head else 0:04d}.parquet")
        attempt.publish(params={"n": head.number if head else 0})


def test_an_event_before_it_leaves_withholds_it(bench: Any) -> None:
    bench.plan(6)
    did(bench.lake, (0, "purchase", PLANNED_UNTIL), (1, "purchase", START), (2, "cart", PLANNED_UNTIL))
    # Known to the night that chose them, and one that happens after the message left.
    did(bench.lake, (3, "purchase", PLANNED_UNTIL - SECOND), (4, "purchase", START + timedelta(hours=1)))
    assert bench.deliver().delivered == {"accepted": 4, "skipped": 2}
    reasons = {row["user_id"]: row["reason"] for row in bench.ledger().values() if row["reason"]}
    assert reasons == dict.fromkeys(("u00000000", "u00000001"), "cancelled_by_event")


def test_other_campaigns_are_sent_all_the_same(bench: Any) -> None:
    bench.plan(4, campaign_id=lambda number: ("price_drop", "sale")[number % 2])
    did(bench.lake, *((who, "purchase", PLANNED_UNTIL) for who in range(4)))
    assert bench.deliver().delivered == {"accepted": 2, "skipped": 2}


def test_an_event_in_mid_run_withholds_what_is_left(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.plan(1000)
    lease = [1_000_000_000]
    monkeypatch.setattr("angelia.delivery.worker.run.lease_now", lambda: lease[0])

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 300:
            did(bench.lake, *((who, "purchase", PLANNED_UNTIL) for who in range(1000)))
            lease[0] += 11_000_000
        return OK

    result = bench.deliver(script)
    assert result.delivered["skipped"] + result.delivered["accepted"] == 1000
    assert 300 <= result.delivered["accepted"] <= 350
    assert {row["reason"] for row in bench.ledger().values()} == {None, "cancelled_by_event"}


def test_events_that_cannot_be_read_hold_up_their_campaign(bench: Any) -> None:
    bench.plan(4, campaign_id=lambda number: ("price_drop", "sale")[number % 2])
    did(bench.lake, (0, "purchase", PLANNED_UNTIL))
    (entry,) = bench.lake.require("user_events", ds="2026-11-15").files
    bench.lake.store.put(entry.path, b"damaged")
    assert bench.deliver().delivered == {"accepted": 2, "deferred": 2}
    reasons = {row["reason"] for row in bench.ledger().values()}
    assert reasons == {None, "events_unreadable"}


def test_what_is_known_of_events_is_ten_minutes_old_at_most(lake: Lake) -> None:
    import asyncio

    now = [EVENTS_AGE_US * 2]
    guards = Guards(lake, DS, lambda: now[0])
    asyncio.run(guards.refresh())
    assert guards.is_fresh()
    guards.watch({"purchase"})
    assert not guards.is_fresh()  # it is read before anything more is sent
    asyncio.run(guards.refresh())
    assert guards.is_fresh()
    now[0] += EVENTS_AGE_US
    assert guards.knows_events()
    now[0] += 1
    assert not guards.knows_events()


def test_each_file_of_events_is_read_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    happened = Happened(lake, DS)
    did(lake, (0, "purchase", START))
    assert not happened.refresh()  # nobody watches
    assert happened.watch({"purchase"})
    assert not happened.watch({"purchase"})
    assert happened.refresh()
    assert not happened.refresh()
    read: list[str] = []
    original = Lake.read_file

    def noting(self: Lake, entry: Any, *given: Any) -> Any:
        read.append(entry.path)
        return original(self, entry, *given)

    monkeypatch.setattr(Lake, "read_file", noting)
    did(lake, (0, "purchase", START - SECOND), (0, "cart", START))
    assert happened.refresh()
    assert len(read) == 1
    assert happened.at("u00000000", "purchase") == round((START - SECOND).timestamp() * 1e6)
    assert happened.at("u00000000", "cart") is None
    assert happened.watch({"cart"})  # all is read again for a type that was passed over
    assert happened.refresh()
    assert happened.at("u00000000", "cart") is not None

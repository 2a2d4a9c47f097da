"""Caps and the gap at their boundaries, over nights and the intake's own sends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest import sample_plan
from angelia.delivery.manifest.parts import FALLOVER, INTAKE
from angelia.intake.dispatching.batches import IntakeSend
from angelia.intake.dispatching.caps import CONTENDED, CountedMessage, cap
from angelia.intake.dispatching.deciding import HOUR_US
from tests.unit.intake.dispatching import ORDER, Bench, bench, with_policy
from tests.unit.intake.verdicts import NOON, contents, message, outcome, verdicts_of


def counted(hours: float, campaign: str = "sale") -> CountedMessage:
    return CountedMessage("u1", campaign, f"{hours}", NOON + round(hours * HOUR_US))


def own(hours: float, is_settled: bool) -> tuple[IntakeSend, bool]:
    return IntakeSend(f"o{hours}", "shop", "x", "u1", "sale", NOON + round(hours * HOUR_US)), is_settled


@pytest.mark.parametrize(
    ("policy", "nightly", "sends", "expected"),
    [
        ({"caps": [{"messages": 2, "days": 1}]}, [counted(-23.9)], [], "chosen"),
        ({"caps": [{"messages": 2, "days": 1}]}, [counted(-23.9), counted(-1)], [], "capped"),
        ({"caps": [{"messages": 2, "days": 1}]}, [counted(-24), counted(-1)], [], "chosen"),
        ({"caps": [{"messages": 1, "days": 1}]}, [counted(5)], [], "capped"),
        ({"caps": [{"messages": 1, "days": 1}]}, [counted(-1, "order")], [], "chosen"),
        ({"caps": [{"messages": 1, "days": 1}]}, [], [own(-1, True)], "capped"),
        ({"caps": [{"messages": 1, "days": 1}]}, [], [own(0, False)], (CONTENDED, 0)),
        ({"min_gap_hours": 4}, [counted(-3)], [], ("min_gap", 1)),
        ({"min_gap_hours": 4}, [counted(-4)], [], "chosen"),
        ({"min_gap_hours": 4}, [counted(9)], [], "chosen"),
        ({"min_gap_hours": 24}, [counted(-1)], [], "min_gap"),
    ],
)
def test_caps_and_gap_at_their_boundary(
    policy: dict[str, Any],
    nightly: list[CountedMessage],
    sends: list[tuple[IntakeSend, bool]],
    expected: object,
) -> None:
    catalog = contents(default=policy)
    decided = cap(catalog.catalog, verdicts_of(catalog), nightly, sends, NOON, lambda: 0.5)
    assert outcome(decided) == expected


def test_two_messages_of_a_batch_share_a_persons_room() -> None:
    catalog = contents(default={"caps": [{"messages": 1, "days": 1}]})
    decided = cap(catalog.catalog, verdicts_of(catalog, message(1), message(2)), [], [], NOON)
    assert len(decided.chosen) == 1
    assert [why for _, why in decided.refused] == ["capped"]


def test_a_vendors_quota_is_a_cap_of_a_day() -> None:
    catalog = contents(fcm={"max_per_vendor_day": {"oppo": 1}})
    for vendor, expected in (("oppo", "capped"), ("vivo", "chosen")):
        given = verdicts_of(catalog, device_vendor=vendor)
        assert outcome(cap(catalog.catalog, given, [counted(-1)], [], NOON)) == expected


__all__ = ["bench"]


def test_caps_count_what_the_intake_sent_before(bench: Bench) -> None:
    bench.night(documents=with_policy(caps=[{"messages": 2, "days": 7}]))
    first = bench.accept({}, {**ORDER})
    bench.dispatch()
    second = bench.accept({}, {}, {**ORDER})
    bench.dispatch()
    assert bench.states(first) == ["sent", "sent"]
    assert sorted(bench.states(second)) == ["refused", "sent", "sent"]
    assert bench.steps(second[1]) == [("refused", "capped")]


def test_caps_count_what_the_nights_plan_will_send(bench: Bench) -> None:
    today = datetime.now(UTC)
    bench.night(documents=with_policy(caps=[{"messages": 1, "days": 1}]))
    changes = {"user_id": lambda number: f"u{number:07d}", "campaign_id": "sale"}
    rows = sample_plan.rows(0, 1, today + timedelta(hours=3), **changes)
    with bench.lake.attempt(
        "dispatch_manifest", ds=(today - timedelta(days=1)).date().isoformat()
    ) as attempt:
        attempt.write(rows, "part-0000.parquet", keys={"send_hour": "x", "channel": "fcm", "priority": "low"})
        attempt.publish()
    planned, free = bench.accept({}, {"user_id": "u0000001"})
    bench.dispatch()
    assert bench.states([planned, free]) == ["refused", "sent"]
    assert bench.steps(planned) == [("refused", "capped")]


def account_for(
    bench: Bench, rows: pa.Table, outcome_of: Callable[[dict[str, Any]], str], **day: str
) -> None:
    """Write the ledger of a part."""
    schema = arrow.schema(dataset("delivery_ledger"))
    facts = {"n_attempts": 0, "reason": None, "sent_ts": None, "provider_id": None, "payload_sha256": None}
    ledger = [
        {name: row[name] for name in schema.names if name in row} | facts | {"outcome": outcome_of(row)}
        for row in rows.to_pylist()
    ]
    with bench.lake.attempt("delivery_ledger", send_hour="x", part="fcm.low.0000", **day) as attempt:
        attempt.write(pa.Table.from_pylist(ledger, schema=schema), "part-0000.parquet")
        attempt.publish()


def test_caps_count_what_waits_for_its_speed_limit(bench: Bench) -> None:
    """A deferred message leaves later, while its window lasts."""
    today = datetime.now(UTC)
    bench.night(documents=with_policy(caps=[{"messages": 1, "days": 1}]))
    closes = {0: 1, 1: -1, 2: 1}  # hours from now
    changes = {
        "user_id": lambda number: f"u{number:07d}",
        "campaign_id": "sale",
        "not_after": lambda number: today + timedelta(hours=closes[number]),
    }
    rows = sample_plan.rows(0, 3, today - timedelta(hours=1), **changes)
    day = {"ds": (today - timedelta(days=1)).date().isoformat()}
    with bench.lake.attempt("dispatch_manifest", **day) as attempt:
        attempt.write(rows, "part-0000.parquet", keys={"send_hour": "x", "channel": "fcm", "priority": "low"})
        attempt.publish()
    outcomes = ("deferred", "deferred", "skipped")
    account_for(bench, rows, lambda row: outcomes[row["ordinal"]], **day)
    ids = bench.accept(*({"user_id": f"u{number:07d}"} for number in range(3)))
    bench.dispatch()
    assert bench.states(ids) == ["refused", "sent", "sent"]


def test_caps_count_what_is_between_two_channels(bench: Bench) -> None:
    """Refused on one channel, not sent yet on the next; the second person has no next."""
    today = datetime.now(UTC)
    bench.night(documents=with_policy(caps=[{"messages": 1, "days": 1}]))
    changes = {"user_id": lambda number: f"u{number:07d}", "campaign_id": "sale"}
    day = {"ds": (today - timedelta(days=1)).date().isoformat()}
    keys = {"send_hour": "x", "channel": "fcm", "priority": "low"}
    rows = sample_plan.rows(0, 2, today - timedelta(hours=1), **changes)
    with bench.lake.attempt("dispatch_manifest", **day) as attempt:
        attempt.write(rows, "part-0000.parquet", keys=keys)
        attempt.publish()
    account_for(bench, rows, lambda _: "rejected", **day)
    moved = sample_plan.rows(
        0, 1, today - timedelta(hours=1), **changes, channel="email", address="ann@shop.example"
    )
    with bench.lake.attempt(FALLOVER, send_hour="x", part="ab" * 16, **day) as attempt:
        attempt.write(moved, "part-0000.parquet", keys=keys | {"channel": "email"})
        attempt.publish()
    ids = bench.accept({"user_id": "u0000000"}, {"user_id": "u0000001"})
    bench.dispatch()
    assert bench.states(ids) == ["refused", "sent"]
    assert bench.steps(ids[0]) == [("refused", "capped")]


def test_caps_count_what_came_back_as_a_push_once(bench: Bench) -> None:
    bench.night(documents=with_policy(caps=[{"messages": 2, "days": 7}]))
    (first,) = bench.accept({})
    bench.dispatch()
    # The next night's user_pushes has the receipt of what the intake sent.
    row = bench.lake.read(bench.lake.require(INTAKE, **bench.lake.partitions(INTAKE)[0])).to_pylist()[0]
    columns = {"ordinal": 0, "kind": "sent", "at_ts": row["send_ts"], "sent_ts": row["send_ts"]}
    push = {name: row[name] for name in ("message_id", "campaign_id", "material_id", "channel")} | columns
    propensities = dict.fromkeys(("slot_propensity", "material_propensity"))
    table = pa.Table.from_pylist([push | propensities], schema=arrow.schema(dataset("user_pushes")))
    with bench.lake.attempt("user_pushes", ds=row["send_ts"].date().isoformat()) as attempt:
        attempt.write(table, "part-0000.parquet", shards=(0, 0))
        attempt.publish()
    (second,) = bench.accept({})
    bench.dispatch()
    assert bench.states([first, second]) == ["sent", "sent"]

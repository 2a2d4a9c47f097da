"""What of the intake uses room in the next plan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from angelia.intake.exporting.export import export
from angelia.intake.message import now
from tests.unit.intake.dispatching import Bench, bench

__all__ = ["bench"]
LEAD_HOURS = 28


def test_pending_is_what_was_sent_today_or_is_due_tonight(bench: Bench) -> None:
    bench.night(6)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    plan_end = midnight + timedelta(hours=LEAD_HOURS)
    at = {"u0000002": plan_end - timedelta(minutes=1), "u0000003": plan_end + timedelta(minutes=1)}
    bench.accept(
        {},
        {"user_id": "u0000001", "campaign_id": "order", "class": "transactional"},
        *({"user_id": user, "send_at": when.isoformat()} for user, when in at.items()),
    )
    bench.accept({"user_id": "nobody"})
    bench.dispatch()
    cancelled, _ = bench.accept({"user_id": "u0000004"}, {"user_id": "u0000005"})
    bench.store.cancel("shop", cancelled, now())
    exported = export(bench.lake, bench.engine, LEAD_HOURS)
    (leaf,) = bench.lake.partitions("intake_pending")
    commit = bench.lake.require("intake_pending", **leaf)
    rows = {row["user_id"]: row for row in bench.lake.read(commit).to_pylist()}
    # Transactional, due after the plan, refused and cancelled ones use no room.
    assert {user: row["is_sent"] for user, row in rows.items()} == {
        "u0000000": True, "u0000002": False, "u0000005": False,
    }  # fmt: skip
    assert rows["u0000002"]["at_ts"] == at["u0000002"]
    assert exported.pending == 3
    assert leaf["ds"] == (midnight - timedelta(days=1)).date().isoformat()

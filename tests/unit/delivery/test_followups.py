"""What is followed up: rows as good as unsent whose window is still open."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from angelia.delivery.ledger.followups import follow_up
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.outcomes import Outcomes
from tests.unit.delivery.given import START

LIVES_S = (59, 60, 61, 120)  # how long each message's window is open


def test_a_row_whose_window_is_over_is_not_followed_up(bench: Any) -> None:
    bench.plan(4, not_after=lambda n: START + timedelta(seconds=LIVES_S[n]))
    (part,) = bench.parts()
    ledger = Ledger(bench.lake.store, Owner.this_process(), lambda: 0)
    claim = ledger.claim(part)
    assert claim is not None
    batch: Any = Outcomes(range(4))
    batch.outcome[:] = ["deferred"] * 4
    ledger.conclude(claim, 0, batch.to_bytes())
    follow_up(bench.lake, ledger, part, int(START.timestamp() * 1e6) + 60_000_000)
    ends = bench.lake.read(bench.lake.require("dispatch_manifest", ds="2026-11-14"))["not_after"].to_pylist()
    (rows,) = [other.rows for other in bench.parts() if other.kind == "deferred"]
    assert sorted((ends[row] - START).seconds for row in rows) == [61, 120]


def test_marketing_that_may_have_arrived_is_not_followed_up(bench: Any) -> None:
    bench.plan(4, guarantee=lambda n: "at_least_once" if n < 2 else "at_most_once")
    (part,) = bench.parts()
    ledger = Ledger(bench.lake.store, Owner.this_process(), lambda: 0)
    claim = ledger.claim(part)
    assert claim is not None
    batch: Any = Outcomes(range(4))
    batch.outcome[:] = ["ambiguous"] * 4
    ledger.conclude(claim, 0, batch.to_bytes())
    follow_up(bench.lake, ledger, part, int(START.timestamp() * 1e6))
    table = bench.lake.read(bench.lake.require("dispatch_manifest", ds="2026-11-14"))
    (rows,) = [other.rows for other in bench.parts() if other.kind == "deferred"]
    assert [table["guarantee"][row].as_py() for row in rows] == ["at_least_once"] * 2

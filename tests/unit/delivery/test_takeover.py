"""A part whose worker may be dead is waited for until its lease ends.

It is left to a holder that is heard of meanwhile.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from angelia.delivery.clock import lease_now
from angelia.delivery.ledger import ledger as ledgers
from angelia.delivery.ledger.ledger import Claim, Ledger, Owner
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker import takeover
from tests.unit.delivery.given import DS

ELSEWHERE = Owner("elsewhere", "boot", "ns", 1, "1")


@pytest.fixture
def held(bench: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Ledger, Claim]:
    """Return the ledger and claim of a worker on another machine, in a plan of one part."""
    monkeypatch.setattr(ledgers, "STALE_US", 300_000)
    monkeypatch.setattr(takeover, "LOOK_S", 0.02)
    bench.plan(50)
    (part,) = bench.parts()
    other = Ledger(bench.lake.store, ELSEWHERE, lease_now)
    claim = other.claim(part)
    assert claim is not None
    return other, claim


def at_look(monkeypatch: pytest.MonkeyPatch, nth: int, act: Any) -> list[int]:
    """Act just before the nth look at a lease; return the list of looks."""
    looks: list[int] = []
    lease = Ledger.lease

    def looked(self: Ledger, part: str) -> Any:
        looks.append(1)
        if len(looks) == nth:
            act()
        return lease(self, part)

    monkeypatch.setattr(Ledger, "lease", looked)
    return looks


def test_a_dead_workers_part_is_sent_when_its_lease_ends(bench: Any, held: tuple[Ledger, Claim]) -> None:
    result = bench.deliver(wait_for_lease=True)
    assert (result.delivered, result.busy, result.parts) == ({"accepted": 50}, 0, 1)
    assert held[0].newest_epoch(held[1].part) == 2


def test_without_the_option_a_held_part_is_left(bench: Any, held: tuple[Ledger, Claim]) -> None:
    assert (bench.deliver().busy, bench.wire.requests) == (1, [])


def test_a_holder_that_is_heard_of_keeps_its_part(
    bench: Any, held: tuple[Ledger, Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, claim = held
    looks = at_look(monkeypatch, 2, lambda: other.heartbeat(claim))
    result = bench.deliver(wait_for_lease=True)
    assert (result.busy, result.unfinished, bench.wire.requests) == (1, 0, [])
    assert len(looks) == 2


def test_a_part_that_is_finished_meanwhile_is_not_sent(
    bench: Any, held: tuple[Ledger, Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, claim = held
    at_look(monkeypatch, 2, lambda: other.finish(claim.part, {}))
    result = bench.deliver(wait_for_lease=True)
    assert (result.busy, result.unfinished, bench.wire.requests) == (0, 0, [])


def test_a_part_that_is_given_back_is_sent_at_once(
    bench: Any, held: tuple[Ledger, Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "STALE_US", 3_600_000_000)
    other, claim = held
    at_look(monkeypatch, 2, lambda: other.release(claim))
    assert bench.deliver(wait_for_lease=True).delivered == {"accepted": 50}


def test_who_loses_the_race_for_the_part_leaves_it(
    bench: Any, held: tuple[Ledger, Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = bench.parts()

    async def overtaken(*_: Any) -> bool:
        assert Ledger(bench.lake.store, ELSEWHERE, lease_now).claim(part, takeover=True) is not None
        return True

    monkeypatch.setattr("angelia.delivery.worker.run.await_lease", overtaken)
    result = bench.deliver(wait_for_lease=True)
    assert (result.busy, result.parts, bench.wire.requests) == (1, 0, [])


def test_a_worker_that_is_stopped_waits_no_longer(
    bench: Any, held: tuple[Ledger, Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as unfinished, so that Airflow tries again."""
    monkeypatch.setattr(ledgers, "STALE_US", 3_600_000_000)
    at_look(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    result = bench.deliver(wait_for_lease=True)
    assert (result.drained, result.unfinished, result.busy) == (True, 1, 0)


def test_parts_that_are_free_go_before_one_that_is_held(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "STALE_US", 300_000)
    sample_plan.make(bench.lake, DS, 30, part_rows=10)
    parts = bench.parts()
    assert Ledger(bench.lake.store, ELSEWHERE, lease_now).claim(parts[0]) is not None
    done: list[int] = []
    finish = Ledger.finish
    by_id = {part.id: part.number for part in parts}

    def finished(self: Ledger, part: str, summary: dict[str, Any]) -> None:
        done.append(by_id[part])
        finish(self, part, summary)

    monkeypatch.setattr(Ledger, "finish", finished)
    assert bench.deliver(wait_for_lease=True).delivered == {"accepted": 30}
    assert done == [1, 2, 0]


def test_nobody_holds_what_was_never_claimed(bench: Any) -> None:
    bench.plan(1)
    (part,) = bench.parts()
    ours = Ledger(bench.lake.store, ELSEWHERE, lease_now)
    assert ours.lease(part.id) is None
    assert asyncio.run(takeover.await_lease(ours, part, lease_now, asyncio.Event()))

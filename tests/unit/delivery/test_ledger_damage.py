"""Ledger objects, stop list or manifest are damaged between two runs.

The damage is named, nothing is sent, and after the repair everything goes on.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.ledger import outcomes
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.ledger.outcomes import Outcomes
from angelia.errors import Corrupt
from angelia.transport.wire import Answer
from tests.unit.delivery.given import OK, stop

ROWS = 450


@pytest.fixture
def half_sent(bench: Any) -> Any:
    """Return a bench whose first run was stopped with a part unfinished, and what it sent."""
    bench.plan(ROWS)

    def script(nth: int, message: dict[str, Any]) -> Answer:
        # At the first request: the fifth batch begins only when one of four has ended, so it is left over.
        if len(bench.wire.requests) == 1:
            signal.raise_signal(signal.SIGTERM)
        return OK

    first = bench.deliver(script)
    assert (first.drained, first.unfinished) == (True, 1)
    bench.sent = [message["data"]["dispatch_id"] for message, _ in bench.wire.requests]
    return bench


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "other bytes": lambda data: b"\x00\xff" * 40,
    "a list": lambda data: b"[1]",
    "one bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
}


@pytest.mark.parametrize(
    "folder", ["outcomes", "intents", "seals", "followups", "claims", "released", "sights"]
)
def test_a_damaged_object_is_named_and_nothing_is_sent(folder: str, half_sent: Any) -> None:
    store = half_sent.lake.store
    if folder == "followups":
        store.create(f"followups/2026-11-14/2026-11-15T04/{'0' * 32}.deferred", b'{"root": "x"}')
    key = next(iter(store.list(folder)))
    path = store.local_path(key)
    path.chmod(0o644)
    sound = path.read_bytes()
    for name, damage in DAMAGE.items():
        path.write_bytes(damage(sound))
        with pytest.raises(Corrupt, match=f"^{key} is damaged$"):
            half_sent.deliver(takeover=True)
        assert half_sent.wire.requests == [], name
    path.write_bytes(sound) if folder != "followups" else path.unlink()
    assert half_sent.deliver(takeover=True).unfinished == 0
    sent = half_sent.sent + [message["data"]["dispatch_id"] for message, _ in half_sent.wire.requests]
    assert sorted(sent) == sorted(half_sent.ledger())
    assert {row["outcome"] for row in half_sent.ledger().values()} == {"accepted"}


def test_a_heartbeat_lost_in_a_power_cut_holds_nobody_up(lake: Any, bench: Any) -> None:
    bench.plan(3)
    part = bench.parts()[0]
    now = [1_000_000_000]
    elsewhere = Owner("another machine", "boot", "ns", 1, "1")
    ledger = Ledger(bench.lake.store, elsewhere, lambda: now[0])
    claim = ledger.claim(part)
    assert claim is not None
    ledger.heartbeat(claim)
    bench.lake.store.local_path(f"heartbeats/{part.id}/00000001").write_bytes(b"")
    mine = Ledger(bench.lake.store, Owner.this_process(), lambda: now[0])
    assert mine.claim(part) is None
    now[0] += 301_000_000
    assert mine.claim(part) is not None


def test_every_flipped_bit_of_an_outcome_object_is_found() -> None:
    rows = Outcomes(range(40))
    for i in range(40):
        rows.outcome[i], rows.reason[i], rows.sent[i] = (
            ("accepted", None, 5) if i % 3 else ("deferred", "not_sent", None)
        )
    data = rows.to_bytes()
    assert outcomes.read(data)["outcome"].to_pylist()[:2] == ["deferred", "accepted"]
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(Corrupt):
            outcomes.read(bytes(damaged))


def test_outcomes_without_a_checksum_are_still_read() -> None:
    rows = Outcomes(range(2))
    rows.outcome[:] = ["accepted", "skipped"]
    assert outcomes.read(rows.to_bytes()[:-38])["outcome"].to_pylist() == ["accepted", "skipped"]


@pytest.mark.parametrize("how", ["truncated rows", "truncated commit"])
def test_an_unreadable_stop_list_stops_the_sending(
    how: str, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.plan(400)
    lease, step = [1_000_000_000], [0]

    def lease_now() -> int:
        lease[0] += step[0]
        return lease[0]

    monkeypatch.setattr("angelia.delivery.worker.run.lease_now", lease_now)
    monkeypatch.setattr("angelia.delivery.sending.clearance.GUARD_PAUSE_S", 0.001)
    damaged: list[tuple[Path, bytes]] = []

    def script(nth: int, message: dict[str, Any]) -> Answer:
        if len(bench.wire.requests) == 150:
            stop(bench.lake)
            suffix = ".parquet" if how == "truncated rows" else ".json"
            for key in bench.lake.store.list("main/stops"):
                if key.endswith(suffix):
                    path = bench.lake.store.local_path(key)
                    path.chmod(0o644)
                    damaged.append((path, path.read_bytes()))
                    path.write_bytes(path.read_bytes()[:20] if how == "truncated rows" else b"{")
            assert damaged
            lease[0] += 11_000_000
            step[0] = 100_000
        return OK

    result = bench.deliver(script, batch_deadline_s=30.0)
    sent = len(bench.wire.requests)
    assert 150 <= sent <= 150 + 50  # what was under way
    assert result.delivered == {"accepted": sent, "deferred": 400 - sent}
    assert {row["reason"] for row in bench.ledger().values()} == {None, "stop_list_unreadable"}
    for path, sound in damaged:
        path.write_bytes(sound)
    step[0] = 0
    bench.deliver()
    assert bench.wire.requests == []
    assert {row["reason"] for row in bench.ledger().values()} == {None, "stopped"}

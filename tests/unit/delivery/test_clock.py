"""The machine's clock is set while a part is sent.

Nothing leaves outside its window by either time, no deadline moves, no wait is shortened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from angelia.delivery.clock import JUMP_US, WallClock
from angelia.transport.wire import Answer
from tests.unit.delivery.given import OK, START

START_US = int(START.timestamp() * 1e6)
MINUTE, HOUR = 60_000_000, 3_600_000_000


class Machine(WallClock):
    """A clock on a machine whose two times the test moves; waiting lets both pass at once."""

    def __init__(self) -> None:
        self.wall = self.carried = START_US + MINUTE
        self.settle()

    def passes(self, us: int) -> None:
        self.wall += us
        self.carried += us

    def settle(self) -> None:
        """Be a process that starts now."""
        super().__init__(lambda: self.wall * 1000, lambda: self.carried * 1000)

    async def sleep(self, seconds: float) -> None:
        self.passes(max(1, int(seconds * 1e6)))
        await asyncio.sleep(0)

    async def wait(self, event: asyncio.Event, seconds: float, *, busy: Callable[[], bool]) -> None:
        if not event.is_set():
            await self.sleep(0.000_001 if busy() else seconds)


class Night:
    """Delivers on a machine's times; keeps each request's row and both times."""

    def __init__(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.machine = bench, Machine()
        self.sent: list[tuple[int, int, int]] = []
        monkeypatch.setattr("angelia.delivery.worker.run.lease_now", self.machine.now)

    def deliver(self, at_request: Callable[[int], Answer | None], **options: Any) -> Any:
        def script(nth: int, message: dict[str, Any]) -> Answer:
            self.sent.append((int(message["token"][8:16]), self.machine.wall, self.machine.carried))
            return at_request(len(self.sent)) or OK

        return self.bench.deliver(script, clock=self.machine, **options)


@pytest.fixture
def night(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(bench, monkeypatch)


def opens(number: int) -> datetime:
    return START + timedelta(minutes=30) if number % 3 == 1 else START - timedelta(hours=2)


def closes(number: int) -> datetime:
    return START + timedelta(minutes=30) if number % 3 == 2 else START + timedelta(hours=10)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_after_a_jump_nothing_leaves_outside_its_window(jump: int, night: Night) -> None:
    night.bench.plan(
        300,
        not_before=opens,
        not_after=closes,
        guarantee=lambda n: "at_least_once" if n % 2 else "at_most_once",
    )

    def at_request(n: int) -> None:
        if n == 20:
            night.machine.wall += jump
        if n == 120:  # time goes on: what was open closes
            night.machine.passes(31 * MINUTE)

    night.deliver(at_request)
    assert len(night.sent) > 20
    for number, wall, carried in night.sent:
        for time in (wall, carried):
            assert opens(number).timestamp() * 1e6 <= time < closes(number).timestamp() * 1e6, number
    rows = night.bench.ledger()
    assert len(rows) == 300
    assert {row["outcome"] for row in rows.values()} <= {"accepted", "deferred", "skipped"}
    assert "clock_jumped" in {row["reason"] for row in rows.values()}
    # The clock is put right; a later look sends what still has a window, and nothing twice.
    night.machine.wall = night.machine.carried = START_US + 45 * MINUTE
    night.machine.settle()
    night.deliver(lambda _: None)
    assert len({number for number, _, _ in night.sent}) == len(night.sent)
    done = night.bench.ledger()
    assert all(row["outcome"] == "accepted" for row in done.values() if int(row["user_id"][1:]) % 3 != 2)


def test_quiet_hours_hold_by_either_clock(night: Night) -> None:
    """Quiet until 05:00; it is 04:01, and the clock jumps to 05:01."""
    quiet = {"quiet_start": lambda n: 22 if n % 2 else None, "quiet_end": lambda n: 5 if n % 2 else None}
    night.bench.plan(
        100,
        not_before=START - timedelta(hours=2),
        not_after=START + timedelta(hours=10),
        timezone="UTC",
        **quiet,
    )

    def at_request(n: int) -> None:
        if n == 10:
            night.machine.wall += HOUR

    night.deliver(at_request)
    assert {number % 2 for number, _, _ in night.sent} == {0}
    assert len(night.sent) == 50


@pytest.mark.parametrize("jump", [-HOUR, 0, HOUR])
def test_no_request_starts_after_its_batchs_deadline(jump: int, night: Night) -> None:
    night.bench.plan(300, not_before=START - timedelta(hours=3), not_after=START + timedelta(hours=10))

    def at_request(n: int) -> None:
        night.machine.passes(200_000)
        if n == 20:
            night.machine.wall += jump

    night.deliver(at_request, batch_deadline_s=10.0)
    intents = []
    for part in night.bench.parts():
        users = night.bench.lake.read_file(part.entry, ["user_id"])["user_id"].to_pylist()
        rows = range(len(users)) if part.rows is None else part.rows
        for k, intents_of in night.bench.delivery.ledger.intents(part.id).items():
            numbers = {
                int(users[row][1:]) for row in rows[k * intents_of[0].size : (k + 1) * intents_of[0].size]
            }
            intents += [(intent.deadline, numbers) for intent in intents_of]
    assert len(night.sent) >= 220
    for number, wall, carried in night.sent:
        latest = max(
            deadline
            for deadline, numbers in intents
            if number in numbers and deadline - 10_000_000 <= max(wall, carried)
        )
        assert max(wall, carried) < latest
    night.deliver(lambda _: None)
    assert len({number for number, _, _ in night.sent}) == len(night.sent) == 300
    assert {row["outcome"] for row in night.bench.ledger().values()} == {"accepted"}


def test_a_jump_forward_shortens_no_wait(night: Night) -> None:
    night.bench.plan(40, not_before=START - timedelta(hours=3), not_after=START + timedelta(hours=10))
    throttled = Answer(429, b"{}", ((b"retry-after", b"30"),))

    def at_request(n: int) -> Answer | None:
        if n == 1:
            night.machine.wall += HOUR
        return throttled if n == 1 else None

    night.deliver(at_request)
    begun = {carried - night.sent[0][2] for _, _, carried in night.sent}
    assert all(waited < 1_000_000 or waited >= 30_000_000 for waited in begun)
    assert max(begun) >= 30_000_000
    assert {row["outcome"] for row in night.bench.ledger().values()} == {"accepted"}


def test_slewing_is_followed_and_a_jump_is_disputed() -> None:
    machine = Machine()
    for _ in range(100):  # ten seconds of drift in small steps
        machine.passes(MINUTE)
        machine.wall += 100_000
        assert machine.now() == machine.earliest() == machine.wall
    assert machine.n_jumps == 0
    before = machine.wall
    machine.wall -= HOUR
    assert (machine.earliest(), machine.now(), machine.steady()) == (before - HOUR, before, before)
    machine.wall += 2 * HOUR
    assert (machine.earliest(), machine.now(), machine.steady()) == (before, before + HOUR, before)
    assert machine.n_jumps == 1
    machine.wall = before + JUMP_US // 2
    assert machine.now() == machine.earliest() == machine.wall
    assert machine.n_jumps == 2

"""One pace in a file: several processes, each with a bucket of its own, on virtual time."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from angelia.contracts.sending import steady_per_minute
from angelia.delivery.clock import SimulatedClock, WallClock
from angelia.delivery.manifest import sample_plan
from angelia.delivery.sending.pacing import TokenBucket
from angelia.delivery.sending.shared_pace import CHANNEL, SharedPace, SharedPaces
from angelia.lake import Lake
from tests.unit.delivery.given import DS
from tests.unit.delivery.test_senders import senders


class Machine:
    """A clock that several processes read."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def wall_ns(self) -> int:
        return self.now * 1000

    def pace(self, path: Path, per_minute: float) -> SharedPace:
        return SharedPace(path, per_minute, self.wall_ns)


def take(pace: SharedPace, now: int) -> bool:
    """Send a message if one may leave."""
    if pace.wait(now):
        return False
    pace.use()
    return True


@pytest.mark.parametrize("held_us", [0, 19_999, 2_000_000])
@pytest.mark.parametrize("quota", [1, 3, 740, 760, 6_000])
def test_the_worst_minute_of_all_processes_is_the_quota(tmp_path: Path, quota: int, held_us: int) -> None:
    """Five processes hold what they drew, then send as fast as they may for a minute."""
    machine, n = Machine(), 0
    paces = [machine.pace(tmp_path / "channel.fcm", quota) for _ in range(5)]
    for pace in paces:
        pace.wait(machine.now)
    machine.now += held_us
    end = machine.now + 60_000_000
    while machine.now <= end:
        for pace in paces:
            while take(pace, machine.now):
                n += 1
        machine.now += 5_000
    assert 0.95 * steady_per_minute(quota) - 1 <= n <= quota


@pytest.mark.parametrize(
    ("quota", "minutes"), [(1, 10), (3, 10), (7, 10), (61, 10), (1_199, 1), (1_200, 1), (6_000, 1)]
)
def test_the_shared_pace_lets_what_was_planned_leave(tmp_path: Path, quota: int, minutes: int) -> None:
    machine, n = Machine(), 0
    paces = [machine.pace(tmp_path / "channel.fcm", quota) for _ in range(3)]
    end = machine.now + minutes * 60_000_000
    while machine.now < end:
        n_now = sum(take(pace, machine.now) for pace in paces)
        n += n_now
        if not n_now:
            machine.now += max(5_000, int(min(pace.wait(machine.now) for pace in paces) * 1e6))
    assert minutes * steady_per_minute(quota) - 2 <= n <= minutes * quota


def test_a_process_that_begins_brings_no_burst(tmp_path: Path) -> None:
    """Twelve short processes one after the other, as a retried task makes them."""
    machine, n = Machine(), 0
    for _ in range(12):
        pace = machine.pace(tmp_path / "channel.fcm", 3)
        n += take(pace, machine.now)
        pace.close()
        machine.now += 4_000_000
    assert n == 2, "a burst of one, and two a minute"


def test_what_was_drawn_and_not_used_goes_back(tmp_path: Path) -> None:
    machine = Machine()
    first, second = (machine.pace(tmp_path / "channel.fcm", 1) for _ in range(2))
    assert first.wait(machine.now) == 0.0
    assert second.wait(machine.now) > 100
    first.close()
    assert second.wait(machine.now) == 0.0
    second.use()
    second.give_back()
    assert second.wait(machine.now) == 0.0
    machine.now += 20_000  # held too long: drawn anew
    assert second.wait(machine.now) == 0.0
    second.use()
    assert second.wait(machine.now) > 100


def test_a_clock_that_is_set_brings_one_burst_at_most(tmp_path: Path) -> None:
    machine = Machine()
    pace = machine.pace(tmp_path / "channel.fcm", 6)
    assert take(pace, machine.now)
    machine.now += 3_600_000_000
    assert [take(pace, machine.now) for _ in range(3)] == [True, False, False]
    machine.now -= 7_200_000_000
    assert not take(pace, machine.now)
    machine.now += 12_000_001
    assert take(pace, machine.now), "a clock that is set back stops nothing for long"


@pytest.mark.parametrize("state", [b"short", b"x" * 40, b"\xff" * 16])
def test_a_damaged_file_begins_empty(tmp_path: Path, state: bytes) -> None:
    machine = Machine()
    path = tmp_path / "channel.fcm"
    path.write_bytes(state)
    pace = machine.pace(path, 60)
    assert not take(pace, machine.now)
    machine.now += 3_000_000
    assert take(pace, machine.now)


def test_a_lock_that_others_hold_is_not_waited_for(tmp_path: Path) -> None:
    machine = Machine()
    path = tmp_path / "channel.fcm"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pace = machine.pace(path, 60)
        assert 0 < pace.wait(machine.now) < 0.01
    assert take(pace, machine.now)


def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "pace").write_text("a file")
    pace = SharedPaces(tmp_path / "pace").of(CHANNEL, "fcm", 60)
    assert pace is not None
    bucket = TokenBucket(60, 0, pace)
    assert (bucket.take(0), bucket.take(1_000) > 0) == (0.0, True), "its own share holds"
    assert caplog.text.count("the shared pace is not kept") == 1
    pace.close()


def test_the_wait_for_many_counts_what_others_left(tmp_path: Path) -> None:
    machine = Machine()
    first, second = (machine.pace(tmp_path / "campaign.sale", 60) for _ in range(2))
    assert take(first, machine.now)
    bucket = TokenBucket(60, 0, second)
    assert bucket.wait(0) > 0
    assert bucket.clears_in(2) == pytest.approx(2 / (59 / 60))


def test_a_rehearsal_uses_up_nothing(lake: Lake, tmp_path: Path) -> None:
    commit = sample_plan.make(lake, DS, 5, quota_per_minute=60)
    for clock, is_shared in ((SimulatedClock(0), False), (WallClock(), True)):
        channels, _ = senders(lake, clock, pace_folder=tmp_path / "pace")
        bucket = channels.of("fcm", commit).bucket
        assert bucket.take(clock.steady()) == 0.0
        assert (tmp_path / "pace" / "channel.fcm").exists() is is_shared

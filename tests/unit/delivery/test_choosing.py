"""Which parts a run takes: those asked for, in sound hours, and nothing sealed too early."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from angelia.delivery.clock import SimulatedClock, WallClock
from angelia.delivery.ledger.ledger import Ledger, Owner
from angelia.delivery.manifest import parts, sample_plan
from angelia.delivery.worker.choosing import PartChoice
from angelia.delivery.worker.options import Options, RunResult
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake
from tests.unit.delivery.given import DS, HOUR, START

NEXT = "2026-11-15T05"
MINUTE = 60_000_000


class Channels:
    """Senders that note which channels were opened, and refuse some."""

    def __init__(self, *refused: str) -> None:
        self.opened: list[str] = []
        self.refused, self.shut = refused, {}

    def of(self, channel: str, commit: Any) -> None:
        if channel in self.refused:
            raise InvalidInput(f"channel {channel} is switched off")
        self.opened.append(channel)

    def snapshot(self, commit: Any) -> Any:
        return SimpleNamespace(channels={"fcm": {}, "apns": {}})

    def shut_out(self, channel: str, error: InvalidInput) -> None:
        self.shut[channel] = error.one_line()


def choice(lake: Lake, options: Options, clock: Any = None, *refused: str) -> Any:
    """Return a run's choice, and the rooms it was given."""
    rooms = SimpleNamespace(channels=Channels(*refused), result=RunResult())
    ledger = Ledger(lake.store, Owner.this_process(), lambda: 0)
    clock = clock or SimulatedClock(0)
    rooms.choice = PartChoice(lake, options, clock, ledger, rooms.channels, rooms.result)  # type: ignore[arg-type]
    return rooms


def test_a_run_takes_what_its_options_name(lake: Lake) -> None:
    sample_plan.make(lake, DS, 50, hours=(4, 5), part_rows=10)
    for options, numbers in (
        (Options(DS, (HOUR,)), [0, 1, 2]),
        (Options(DS, (HOUR,), part=1), [1]),
        (Options(DS, (HOUR,), channel="apns"), []),
        (Options(DS, (HOUR,), priority="high"), []),
        (Options(DS, (HOUR,), channel="fcm", priority="medium"), [0, 1, 2]),
    ):
        (planned,) = choice(lake, replace(options, simulated=True)).choice.plan()
        assert [part.number for part in planned.parts] == numbers


@pytest.mark.parametrize(
    ("options", "says", "fix"),
    [
        (Options(DS, (HOUR,), channel="fmc"), "--channel fmc: the plan of", "channels: apns, fcm"),
        (Options(DS, channel="fmc"), "--channel fmc: the plan of", "channels: apns, fcm"),
        (Options(DS, (HOUR,), part=5), "--part 5: there is no such part", "parts: 0, 1, 2"),
        (Options(DS, (HOUR,), "fcm", 3, "medium"), "--part 3", "parts: 0, 1, 2"),
    ],
)
def test_what_the_plan_does_not_have_is_refused(options: Options, says: str, fix: str, lake: Lake) -> None:
    sample_plan.make(lake, DS, 50, hours=(4, 5), part_rows=10)
    with pytest.raises(InvalidInput, match=says) as refused:
        choice(lake, replace(options, simulated=True)).choice.plan()
    assert refused.value.fix == fix
    assert not lake.store.exists(f"seals/{DS}/{HOUR}")


def test_an_hour_is_sealed_from_its_first_instant_on(lake: Lake) -> None:
    sample_plan.make(lake, DS, 10)
    start = int(START.timestamp()) * 1_000_000
    for at, is_open in ((start - 1, False), (start, True)):
        clock = WallClock(lambda at=at: at * 1000, lambda: 0)  # type: ignore[misc]
        rooms = choice(lake, Options(DS, (HOUR,)), clock)
        if is_open:
            assert [planned.hour for planned in rooms.choice.plan()] == [HOUR]
        else:
            with pytest.raises(InvalidInput, match="has not begun"):
                rooms.choice.plan()
        assert lake.store.exists(f"seals/{DS}/{HOUR}") is is_open


def test_an_hour_without_messages_is_named(lake: Lake) -> None:
    sample_plan.make(lake, DS, 10)
    rooms = choice(lake, Options(DS, (NEXT,), simulated=True))
    with pytest.raises(InvalidInput, match="nothing to send in 2026-11-15T05") as refused:
        rooms.choice.plan()
    assert refused.value.fix == f"hours: {HOUR} to {HOUR}"


def test_a_day_without_a_plan_is_no_day_on_which_nothing_is_due(lake: Lake) -> None:
    sample_plan.make(lake, DS, 10)
    for options in (Options("2026-11-13"), Options("2026-11-13", (HOUR,))):
        with pytest.raises(NotFound, match="2026-11-13 has no plan to send") as refused:
            choice(lake, options, WallClock(lambda: 0, lambda: 0)).choice.plan()
        assert str(refused.value.fix).endswith(f"name another: the last nights with manifests are {DS}")
    assert choice(lake, Options(DS), WallClock(lambda: 0, lambda: 0)).choice.plan() == []


def test_an_hour_of_an_empty_plan_is_named(lake: Lake) -> None:
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        attempt.publish()
    assert choice(lake, Options(DS, (), simulated=True)).choice.plan() == []
    with pytest.raises(InvalidInput, match=f"nothing to send in {HOUR}") as refused:
        choice(lake, Options(DS, (HOUR,), simulated=True)).choice.plan()
    assert refused.value.fix == "the whole plan has no message to send"


def test_a_damaged_hour_is_counted_and_the_others_are_sealed(lake: Lake) -> None:
    sample_plan.make(lake, DS, 20, hours=(4, 5))
    parts.seal(lake, DS, HOUR, "now")
    path = lake.store.local_path(f"seals/{DS}/{HOUR}")
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"sha256:0")
    rooms = choice(lake, Options(DS, (HOUR, NEXT), simulated=True))
    assert [planned.hour for planned in rooms.choice.plan()] == [NEXT]
    assert (rooms.result.unfinished, len(rooms.result.damaged)) == (1, 1)


def test_a_planned_channel_that_cannot_be_opened_seals_nothing(lake: Lake) -> None:
    sample_plan.make(lake, DS, 10)
    rooms = choice(lake, Options(DS, (HOUR,), simulated=True), None, "fcm")
    with pytest.raises(InvalidInput, match="switched off"):
        rooms.choice.plan()
    assert not lake.store.exists(f"seals/{DS}/{HOUR}")
    assert rooms.channels.shut == {}

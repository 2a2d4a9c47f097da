"""When a row may leave: one verdict, at its exact boundaries; nothing taken stays taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from angelia.delivery.channels.base import Provider
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.clock import SimulatedClock, WallClock
from angelia.delivery.sending.clearance import Clearance, Park, Send, Settle, Wait
from angelia.delivery.sending.holds import CampaignPace
from angelia.delivery.sending.sender import Sender
from angelia.transport.wire import Request

START, MINUTE = 1_800_000_000_000_000, 60_000_000
REQUEST = Request(b"/", (), b"{}")


class Guards:
    """Stop lists in memory."""

    def __init__(self) -> None:
        self.version, self.fresh, self.reasons = 1, True, [None]

    def is_fresh(self) -> bool:
        return self.fresh

    async def refresh(self) -> bool:
        self.fresh = True
        return True

    def blocked(self, *_: Any) -> list[str | None]:
        return list(self.reasons)

    def quiet_of(self, _: Any) -> dict[int, tuple[int, int]]:
        return {}


class Row:
    """A batch of one row, and whether it may leave."""

    def __init__(self, clock: Any = None, **changes: Any) -> None:
        self.clock = clock or SimulatedClock(START)
        self.guards = Guards()
        self.paces: dict[str, CampaignPace] = {}
        self.column = {
            "campaign_id": ["c"], "user_id": ["u"], "address": ["a"], "guarantee": ["at_most_once"],
            "topic": ["promo"],
            "not_before": [START], "not_after": [START + 10 * MINUTE], "timezone": ["UTC"],
            "quiet_start": [None], "quiet_end": [None],
            **{name: [value] for name, value in changes.items()},
        }  # fmt: skip
        self.sender = Sender(
            "fcm", Provider(FcmAdapter("p"), "", None), None, self.clock, per_minute=6_000, concurrency=2
        )  # type: ignore[arg-type]
        self.draining = asyncio.Event()
        self.cancel_on: dict[str, str] = {}

    def verdict(self, build: Callable[[int], Send | Settle] = lambda _: Send(REQUEST)) -> Any:
        work: Any = SimpleNamespace(
            guards=self.guards, clock=self.clock, paces=self.paces, draining=self.draining,
            lease_now=lambda: 0, cancel_on=self.cancel_on, canaries=None,
        )  # fmt: skip
        self.clearance = Clearance(work, self.sender, self.column, 5 * MINUTE)
        return self.clearance.of(0, build)


def stopped(row: Row) -> Any:
    row.guards.reasons = ["stopped"]
    return row.verdict()


def unbuilt(row: Row) -> Any:
    return row.verdict(lambda _: Settle("rejected", "payload_too_large"))


def early(row: Row) -> Any:
    row.column["not_before"] = [START + MINUTE]
    return row.verdict()


def paced(row: Row) -> Any:
    row.paces["c"] = CampaignPace(60, row.clock.now())
    row.paces["c"].enter(row.clock.now())
    return row.verdict()


@pytest.mark.parametrize(
    ("ask", "kind"), [(stopped, Settle), (unbuilt, Settle), (early, Wait), (paced, Park)]
)
def test_what_was_taken_for_a_row_that_stays_is_given_back(ask: Callable[[Row], Any], kind: type) -> None:
    row = Row()
    tokens = row.sender.bucket.tokens
    for _ in range(20):
        row.sender.failed("a", START)
    row.clock.advance_to(START + 2_000_000)  # the breaker lets one probe through
    assert isinstance(ask(row), kind)
    assert row.sender.bucket.tokens == tokens
    assert row.sender.breaker.pause(row.clock.now()) == 0.0, "somebody else may probe"


def test_a_row_that_leaves_keeps_its_token_and_passes_its_gate() -> None:
    row = Row()
    row.paces["c"] = CampaignPace(600, START)
    tokens = row.sender.bucket.tokens, row.paces["c"].bucket.tokens
    assert row.verdict() == Send(REQUEST)
    assert (row.sender.bucket.tokens, row.paces["c"].bucket.tokens) == (tokens[0] - 1, tokens[1] - 1)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (-1, Wait),
        (0, Send),
        (10 * MINUTE - 1, Send),
        (10 * MINUTE, Settle("skipped", "expired")),
    ],
)
def test_a_window_is_half_open(at: int, expected: Any) -> None:
    verdict = Row(SimulatedClock(START + at)).verdict()
    assert verdict == expected if isinstance(expected, Settle) else isinstance(verdict, expected)


def test_a_row_that_opens_after_the_batch_is_deferred() -> None:
    """On the wall clock: the batch ends in five minutes, and the row opens then or just before."""
    wall = WallClock(lambda: START * 1000, lambda: 0)
    assert Row(wall, not_before=START + 5 * MINUTE).verdict() == Settle("deferred", "not_before")
    assert isinstance(Row(wall, not_before=START + 5 * MINUTE - 1).verdict(), Wait)


def test_a_full_channel_is_waited_for_before_anything_is_taken() -> None:
    row = Row()
    row.sender.in_flight, tokens = 2, row.sender.bucket.tokens
    assert row.verdict() == Wait(row.sender.room)
    assert row.sender.bucket.tokens == tokens


def test_stop_lists_that_are_old_are_read_first() -> None:
    row = Row()
    row.guards.fresh = False
    verdict = row.verdict(lambda _: pytest.fail("built before the lists were read"))
    assert isinstance(verdict, Wait)
    asyncio.run(verdict.until())  # type: ignore[arg-type]
    assert row.verdict() == Send(REQUEST)


def test_a_batch_stops_for_a_drain_a_halt_or_its_deadline() -> None:
    row = Row()
    row.verdict()
    assert row.clearance.must_stop() is None
    row.clearance._work.lease_now = lambda: 5 * MINUTE
    assert row.clearance.must_stop() == "deadline"
    row.guards.fresh = False
    assert row.clearance.must_stop() == "stop_list_unreadable"
    row.draining.set()
    assert row.clearance.must_stop() == "drained"
    row.sender.halted = "wrong"
    assert row.clearance.must_stop() == "channel_halted"

"""Time, injected: plan time for windows and pacing, lease time for what workers agree on.

Two clocks, because a rehearsal of the plan's 24 hours runs in minutes: *plan time* (rows' windows, quiet
hours, pacing, backoff) may be simulated; *lease time* (claims, deadlines, age of the stop list) concerns
other processes and is always real.

Surprise: a machine's clock may be set while a part is sent, and nobody can say which of the two times is
right. The wall clock is therefore compared with one that nobody can set; where they part, nothing is sent
that either of them calls too early or too late.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

from angelia.contracts.sending import Micros

# Asked once: it is read several times a message.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
JUMP_US = 5_000_000  # NTP slews half a millisecond a second at most; an hour without a look is 1.8 s


class Clock(Protocol):
    """Plan time in microseconds since 1970 UTC, and waiting on it."""

    simulated: bool
    n_jumps: int  # how often the clock was found set, forward or back

    def now(self) -> Micros:
        """Return the present instant, with which ends are compared.

        After the clock was set there are two candidates, and this is the later one.
        """

    def earliest(self) -> Micros:
        """Return the present instant, with which beginnings are compared.

        After the clock was set there are two candidates, and this is the earlier one.
        """

    def steady(self) -> Micros:
        """Return an instant that nobody sets: pacing and backoff are counted on it."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def wait(self, event: asyncio.Event, seconds: float, *, busy: Callable[[], bool]) -> None:
        """Wait until the event is set, for `seconds` at most.

        `busy` says whether answers from outside are under way, which take real time.
        """


def steady_ns() -> int:
    """Return nanoseconds on a clock that nobody sets, and that runs while the machine sleeps."""
    return time.clock_gettime_ns(_STEADY)


class WallClock:
    """The machine's clock beside a steady one, so that setting it shortens no wait.

    Small differences (a clock being slewed) are followed; one of more than `JUMP_US` between two looks is a
    jump, and until the clock is set back both times count.
    """

    simulated = False

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady: Callable[[], int] = steady_ns
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady
        self._offset = self._wall_ns() // 1000 - self._steady_ns() // 1000
        self._is_disputed = False
        self.n_jumps = 0

    def _both(self) -> tuple[Micros, Micros]:
        wall = self._wall_ns() // 1000
        carried = self._steady_ns() // 1000 + self._offset
        apart = wall - carried
        if -JUMP_US < apart < JUMP_US:
            self._offset += apart
            if self._is_disputed:
                self._is_disputed = False
                self.n_jumps += 1
            return wall, wall
        if not self._is_disputed:
            self._is_disputed = True
            self.n_jumps += 1
        return wall, carried

    def now(self) -> Micros:
        """See `Clock.now`."""
        return max(self._both())

    def earliest(self) -> Micros:
        """See `Clock.earliest`."""
        return min(self._both())

    def steady(self) -> Micros:
        """See `Clock.steady`."""
        return self._steady_ns() // 1000 + self._offset

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float, *, busy: Callable[[], bool]) -> None:
        """See `Clock.wait`."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass


class SimulatedClock:
    """Plan time that passes only while a task waits for it."""

    simulated = True
    n_jumps = 0

    def __init__(self, start: Micros) -> None:
        self._now = start
        self._sleepers: list[tuple[Micros, int, asyncio.Future[None]]] = []
        self._n_sleeps = 0
        self._is_ticking = False

    def now(self) -> Micros:
        """See `Clock.now`."""
        return self._now

    def earliest(self) -> Micros:
        """See `Clock.earliest`."""
        return self._now

    def steady(self) -> Micros:
        """See `Clock.steady`."""
        return self._now

    def advance_to(self, instant: Micros) -> None:
        """Move forward, never back."""
        self._now = max(self._now, instant)

    async def sleep(self, seconds: float) -> None:
        """Let time pass without waiting.

        Of several sleepers the one whose time comes first wakes first, so that their waits do not add up.
        """
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._n_sleeps += 1
        heapq.heappush(self._sleepers, (self._now + max(0, int(seconds * 1e6)), self._n_sleeps, woken))
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_soon(self._tick)
        await woken

    def _tick(self) -> None:
        """Move on to the next sleeper's time and wake it.

        The others have their turn once it has had its own.
        """
        while self._sleepers and self._sleepers[0][2].done():  # cancelled
            heapq.heappop(self._sleepers)
        self._is_ticking = bool(self._sleepers)
        if self._sleepers:
            instant, _, woken = heapq.heappop(self._sleepers)
            self.advance_to(instant)
            woken.set_result(None)
            asyncio.get_running_loop().call_soon(self._tick)

    async def wait(self, event: asyncio.Event, seconds: float, *, busy: Callable[[], bool]) -> None:
        """Wait in real time while answers are under way, else jump."""
        if event.is_set():
            return
        if busy():
            try:
                async with asyncio.timeout(1.0):
                    await event.wait()
            except TimeoutError:
                pass
            return
        await self.sleep(seconds)


_LEASE = WallClock()


def lease_now() -> Micros:
    """Return real time in microseconds: what claims and deadlines are read on.

    A clock set back does not make a deadline later.
    """
    return _LEASE.now()

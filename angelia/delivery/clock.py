"""Time, injected: what the plan's windows and pacing are read on, and what leases are read on.

Two clocks, because a rehearsal of the plan's 24 hours runs in minutes: *plan time* (rows' windows, quiet hours, pacing, backoff) may be simulated;
*lease time* (claims, deadlines, age of the stop list) concerns other processes and is always real.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

Micros = int


class Clock(Protocol):
    """Plan time in microseconds since 1970 UTC, and waiting on it."""

    simulated: bool

    def now(self) -> Micros:
        """Return the present instant."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def wait(self, event: asyncio.Event, seconds: float, *, busy: Callable[[], bool]) -> None:
        """Wait until the event, at most `seconds`; `busy` says that answers from outside are under way, which take real time."""


class WallClock:
    """The machine's clock; durations are measured monotonically, so that a jump of the wall clock shortens no wait."""

    simulated = False

    def now(self) -> Micros:
        """See `Clock.now`."""
        return time.time_ns() // 1000

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
    """Plan time that passes only when somebody waits for it."""

    simulated = True

    def __init__(self, start: Micros) -> None:
        self._now = start

    def now(self) -> Micros:
        """See `Clock.now`."""
        return self._now

    def advance_to(self, instant: Micros) -> None:
        """Move forward, never back."""
        self._now = max(self._now, instant)

    async def sleep(self, seconds: float) -> None:
        """Let time pass without waiting; other tasks get their turn."""
        self._now += max(0, int(seconds * 1e6))
        await asyncio.sleep(0)

    async def wait(self, event: asyncio.Event, seconds: float, *, busy: Callable[[], bool]) -> None:
        """While answers are under way wait for them in real time; else jump."""
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

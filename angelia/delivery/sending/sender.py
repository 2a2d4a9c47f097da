"""One channel of one process: transport, adapter, token, pace, breaker and the window of requests under way.
Shared by all batches of the channel.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque

from angelia.contracts.sending import Micros
from angelia.delivery.channels.base import Adapter, Credentials, Provider
from angelia.delivery.clock import Clock
from angelia.delivery.sending import events
from angelia.delivery.sending.holds import Receivers
from angelia.delivery.sending.pacing import Breaker, TokenBucket
from angelia.errors import AngeliaError
from angelia.transport.wire import Transport

_HALT_AFTER = 10  # configuration answers in a row, with no success between


class Sender:
    """What the batches of one channel share."""

    def __init__(
        self,
        channel: str,
        provider: Provider,
        transport: Transport,
        clock: Clock,
        *,
        per_minute: float,
        seed: int = 0,
        concurrency: int | None = None,
    ) -> None:
        self.channel = channel
        self.adapter: Adapter = provider.adapter
        self.transport = transport
        self.clock = clock
        self.bucket = TokenBucket(per_minute, clock.now())
        self.breaker = Breaker()
        self.concurrency = concurrency or provider.concurrency
        self.receivers = Receivers(provider.receiver_of, self.concurrency) if provider.receiver_of else None
        self._credentials: Credentials | None = provider.credentials
        self._renewal: asyncio.Task[None] | None = None
        self.in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.random = random.Random(seed)
        self.halted: str | None = None
        self._halts = 0
        self.counts: Counter[str] = Counter()
        self.n_requests = 0
        self.n_refused = 0  # rows whose dispatch id was seen with another payload

    def authorization(self) -> bytes | None:
        """Return the header to send (empty = none needed), or None when `renew` must be awaited first."""
        return b"" if self._credentials is None else self._credentials.current()

    async def renew(self, stale: bytes | None) -> None:
        """Replace a stale token: any number of callers, one request; a refusal halts the channel instead of
        failing every row.
        """
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(stale))
        await asyncio.shield(self._renewal)

    async def _renew(self, stale: bytes | None) -> None:
        assert self._credentials is not None
        if stale is not None and self._credentials.current() not in (None, stale):
            return
        try:
            await self._credentials.refresh(stale)
        except AngeliaError as error:
            self.halt(error.one_line())

    def halt(self, why: str) -> None:
        """Send nothing more through this channel in this process: the configuration is wrong, no row is."""
        if self.halted is None:
            self.halted = why
            events.halted(self.channel, why)
        self.wake(everyone=True)

    def configuration_answer(self, reason: str) -> None:
        """Count a configuration answer; a run of them halts the channel (one alone may be one strange
        token)."""
        self._halts += 1
        if self._halts >= _HALT_AFTER:
            self.halt(
                f"the provider answers {events.code(reason)} to every message; check the "
                f"channel's credentials"
            )

    def answered(self, address: str) -> None:
        """A message was accepted, or refused for its own sake."""
        self._halts = 0
        closed = self.breaker.succeeded() if self.receivers is None else self.receivers.answered(address)
        if closed:
            self._told(address, is_open=False)

    def failed(self, address: str, now: Micros) -> None:
        """A 5xx, no answer, or no connection: of the provider, or of this address's own receiver."""
        opened = self.breaker.failed(now) if self.receivers is None else self.receivers.failed(address, now)
        if opened:
            self._told(address, is_open=True)

    def _told(self, address: str, *, is_open: bool) -> None:
        receiver = self.receivers.name(address) if self.receivers is not None else None
        events.breaker_changed(self.channel, is_open=is_open, receiver=receiver)

    def said_nothing(self, address: str) -> None:
        """An answer that tells neither that the provider is well nor that it is not: another may probe."""
        if self.receivers is not None:
            self.receivers.of(address).breaker.abandoned()
        else:
            self.breaker.abandoned()

    def gate(self, now: Micros) -> float:
        """Return 0 if a request may start now (a token is taken), else the seconds to wait."""
        pause = self.breaker.wait(now)
        if pause:
            return pause
        pause = self.bucket.take(now)
        if pause:
            self.breaker.abandoned()
        return pause

    def ungate(self) -> None:
        """Return what `gate` granted: the request is not made."""
        self.bucket.give_back()
        self.breaker.abandoned()

    async def room(self) -> None:
        """Wait until fewer requests than `concurrency` are under way."""
        while self.in_flight >= self.concurrency and self.halted is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def left(self, address: str) -> None:
        """One request is over. Waiters wake at three quarters of the window, so that refills are written
        together.
        """
        self.in_flight -= 1
        if self.receivers is not None:
            self.receivers.of(address).in_flight -= 1
        if self._waiters and self.in_flight <= self.concurrency * 3 // 4:
            self.wake()

    def wake(self, everyone: bool = False) -> None:
        """Wake the waiters."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if not everyone:
                    return

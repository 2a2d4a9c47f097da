"""One channel of one process, shared by all its batches.

It holds transport, adapter, token, pace, breaker, and the window of requests under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from typing import Any

from angelia.contracts.outcomes import QUOTA_SPENT
from angelia.contracts.sending import Micros
from angelia.delivery.channels.base import Adapter, Credentials, Message, Provider, Verdict
from angelia.delivery.clock import Clock
from angelia.delivery.sending import events
from angelia.delivery.sending.holds import Receivers
from angelia.delivery.sending.pacing import Breaker, TokenBucket, backoff
from angelia.delivery.sending.shared_pace import SharedPace
from angelia.errors import AngeliaError
from angelia.transport.exchanges import log_error
from angelia.transport.wire import UNKNOWN, Answer, Done, Request, Transport

_ROOM_WAIT_S = 1.0
_HALT_AFTER = 10  # configuration answers in a row, with no success between


class Nowhere:
    """The transport of a channel that sends nothing."""

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`."""
        raise AssertionError("a closed channel sends nothing")

    async def close(self) -> None:
        """See `Transport.close`."""


class _Nobody:
    """The adapter of a channel that sends nothing."""

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        raise AssertionError("a closed channel builds nothing")

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        raise AssertionError("a closed channel is answered nothing")


NOBODY = Provider(_Nobody(), "", None)


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
        shared: SharedPace | None = None,
        seed: int = 0,
        concurrency: int | None = None,
        is_other: bool = False,
    ) -> None:
        """Open a channel.

        Args:
            per_minute: this process's share of the quota.
            shared: what all processes of the home keep to together.
            is_other: by another provider than the plan was made with.
        """
        self.channel, self.is_other = channel, is_other
        self.retired: list[Transport] = []  # of providers that were switched from: answers are under way
        self.adapter: Adapter = provider.adapter
        self.other_form = provider.other_form
        self.transport = transport
        self.clock = clock
        self.bucket = TokenBucket(per_minute, clock.now(), shared)
        self.breaker = Breaker()
        self.concurrency = concurrency or provider.concurrency
        self.receivers = Receivers(provider.receiver_of, self.concurrency) if provider.receiver_of else None
        self._credentials: Credentials | None = provider.credentials
        self._renewal: asyncio.Task[None] | None = None
        self.in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._random = random.Random(seed)
        self.halted: str | None = None
        # Why nothing more leaves by this channel today, as a reason of its rows and as a person reads it.
        self.closed: str | None = None
        self.why_closed = ""
        self._halts = 0
        self._counted = 0  # the last request of several messages that a failure was counted of
        self.counts: Counter[str] = Counter()
        self.n_requests = 0
        self.n_refused = 0  # rows whose dispatch id was seen with another payload

    def switch(
        self,
        provider: Provider,
        transport: Transport,
        *,
        per_minute: float,
        shared: SharedPace | None = None,
        is_other: bool,
    ) -> None:
        """Go on with another provider, or another quota, from the next request on."""
        self.retired.append(self.transport)
        self.adapter, self.transport, self.is_other = provider.adapter, transport, is_other
        self.other_form = provider.other_form
        self.bucket, self.breaker = TokenBucket(per_minute, self.clock.now(), shared), Breaker()
        self.concurrency = provider.concurrency
        self.receivers = Receivers(provider.receiver_of, self.concurrency) if provider.receiver_of else None
        self._credentials, self._renewal, self._halts, self._counted = provider.credentials, None, 0, 0
        self.closed, self.why_closed = None, ""
        self.wake(everyone=True)

    def authorization(self) -> bytes | None:
        """Return the header to send (empty = none needed); None = await `renew` first."""
        return b"" if self._credentials is None else self._credentials.current()

    async def renew(self, stale: bytes | None) -> None:
        """Replace a stale token: any number of callers, one request.

        A refusal halts the channel instead of failing every row.
        """
        await asyncio.shield(self._begin_renewal(stale))

    def token_refused(self, stale: bytes) -> None:
        """Begin to replace the token a request went out with, unless that is done already."""
        if self.authorization() == stale:
            self._begin_renewal(stale)

    def _begin_renewal(self, stale: bytes | None) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(stale))
        return self._renewal

    async def _renew(self, stale: bytes | None) -> None:
        assert self._credentials is not None
        if stale is not None and self._credentials.current() not in (None, stale):
            return
        try:
            await self._credentials.refresh(stale)
        except AngeliaError as error:
            self.halt(error.one_line())
        except Exception as error:  # noqa: BLE001 - else every row would wait for a token that nobody asks for
            name = log_error("asking for a token", error)
            self.halt(f"the channel's token cannot be renewed ({name}); check its credentials, then rerun")

    def halt(self, why: str) -> None:
        """Send nothing more through this channel in this process.

        The configuration is wrong, not a row.
        """
        if self.halted is None:
            self.halted = why
            events.halted(self.channel, why)
        self.wake(everyone=True)

    def close(self, reason: str, why: str) -> None:
        """Send nothing more for now; what is left may go to its next channel."""
        if self.closed is None:
            self.closed, self.why_closed = reason, why
            events.halted(self.channel, why)
        self.wake(everyone=True)

    def spent(self, code: str | None) -> None:
        """Close the channel: its provider takes no more messages today."""
        self.close(
            QUOTA_SPENT,
            f"the provider answers {events.code(code)}: its count of the day is used up; what other "
            f"channels may take goes there",
        )

    def configuration_answer(self, reason: str, shared: int = 0) -> None:
        """Count a configuration answer; a run of them halts the channel.

        A single one may be about a single foreign token.
        """
        if self._is_counted(shared):
            return
        self._halts += 1
        if self._halts >= _HALT_AFTER:
            self.halt(
                f"the provider answers {events.code(reason)} to every message; check the "
                f"channel's credentials"
            )

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """Send one request; `done(tag, answer)` is called once it is over, and calls `left`."""
        self.in_flight += 1
        self.n_requests += 1
        try:
            self.transport.submit(request, authorization, done, tag)
        except Exception as error:  # noqa: BLE001 - a transport may be from outside, and may have sent the bytes
            answer = Answer(0, failure=UNKNOWN, detail=log_error("a request", error))
            asyncio.get_running_loop().call_soon(done, tag, answer)

    def settled(self, outcome: str) -> None:
        """Count a row that has its outcome."""
        self.counts[outcome] += 1

    def refused(self) -> None:
        """Count a row whose dispatch id was seen with another payload."""
        self.n_refused += 1

    def throttled(self, now: Micros, wait_s: float | None) -> None:
        """Slow the channel down as the provider asks, holding everything for `wait_s` seconds."""
        self.bucket.throttled(now, wait_s)

    def backoff(self, attempt: int) -> float:
        """Return the seconds before a row's retry number `attempt` (from 1)."""
        return backoff(attempt, self._random.random)

    def answered(self, address: str) -> None:
        """Count a message that was accepted, or refused for its own sake."""
        self._halts = 0
        closed = self.breaker.succeeded() if self.receivers is None else self.receivers.answered(address)
        if closed:
            self._log_breaker(address, is_open=False)

    def failed(self, address: str, now: Micros, shared: int = 0) -> None:
        """Count a 5xx, no answer, or no connection: the provider's, or this address's receiver's.

        `shared`: the answer's; what befell one request counts once, however many messages left by it.
        """
        if self._is_counted(shared):
            return
        opened = self.breaker.failed(now) if self.receivers is None else self.receivers.failed(address, now)
        if opened:
            self._log_breaker(address, is_open=True)

    def _is_counted(self, shared: int) -> bool:
        # The messages of one request are answered one right after the other.
        is_again = shared != 0 and shared == self._counted
        self._counted = shared
        return is_again

    def _log_breaker(self, address: str, *, is_open: bool) -> None:
        receiver = self.receivers.name(address) if self.receivers is not None else None
        events.breaker_changed(self.channel, is_open=is_open, receiver=receiver)

    def undecided(self, address: str) -> None:
        """Let another request probe: this answer does not tell whether the provider is well."""
        if self.receivers is not None:
            self.receivers.undecided(address)
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
        """Give back what `gate` granted: the request is not made."""
        self.bucket.give_back()
        self.breaker.abandoned()

    async def room(self) -> None:
        """Wait until fewer requests than `concurrency` are under way, for a second at most."""
        if self.in_flight >= self.concurrency and self.halted is None and self.closed is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            # Who waits looks at its batch's deadline in between: no answer may ever come.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiter, _ROOM_WAIT_S)

    def left(self, address: str) -> None:
        """Count that one request is over.

        Waiters wake at three quarters of the window, so that refills are written together.
        """
        self.in_flight -= 1
        if self.receivers is not None:
            self.receivers.of(address).left()
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

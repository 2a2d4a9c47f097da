"""Many rows in one request, for providers that take several messages at once.

It stands where a transport does, so nothing else knows of it: each row is submitted by itself and answered by
itself. What cannot have been seen, or may have been, holds for every row of the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from angelia.transport.pooled_http import PooledHttp
from angelia.transport.wire import NOT_SENT, Answer, Request

Done = Callable[[Any, Answer], None]
WAIT_S = 0.01  # for company; a row that has none goes out alone


class Gatherer(Protocol):
    """How a provider takes several messages, and says what became of each."""

    def key(self, request: Request) -> bytes | None:
        """Return what rows of one request have in common; None of a row that goes out alone."""

    def join(self, requests: Sequence[Request]) -> Request:
        """Return one request for several rows."""

    def split(self, answer: Answer, requests: Sequence[Request]) -> list[Answer]:
        """Return each row's own answer, as it would have come alone."""


class GatheredHttp:
    """A `Transport` that sends up to `most` rows a request over another one."""

    def __init__(self, inner: PooledHttp, gatherer: Gatherer, most: int, wait_s: float = WAIT_S) -> None:
        self._inner, self._gatherer, self._most, self._wait_s = inner, gatherer, most, wait_s
        # By authorization, and by what the gatherer says that rows share.
        self._waiting: dict[tuple[bytes, bytes], list[tuple[Request, Done, Any]]] = {}
        self._timers: dict[tuple[bytes, bytes], asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.n_requests = 0

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`. Rows of one authorization and key share a request."""
        key = self._gatherer.key(request)
        if key is None:
            self._begin([(request, done, tag)], authorization)
            return
        place = (authorization, key)
        rows = self._waiting.setdefault(place, [])
        rows.append((request, done, tag))
        if len(rows) >= self._most:
            self._leave(place)
        elif len(rows) == 1:
            loop = asyncio.get_running_loop()
            self._timers[place] = loop.call_later(self._wait_s, self._leave, place)

    def _leave(self, place: tuple[bytes, bytes]) -> None:
        timer = self._timers.pop(place, None)
        if timer is not None:
            timer.cancel()
        rows = self._waiting.pop(place, [])
        if rows:
            self._begin(rows, place[0])

    def _begin(self, rows: Sequence[tuple[Request, Done, Any]], authorization: bytes) -> None:
        self.n_requests += 1
        task = asyncio.get_running_loop().create_task(self._send(rows, authorization, self.n_requests))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(
        self, rows: Sequence[tuple[Request, Done, Any]], authorization: bytes, number: int
    ) -> None:
        requests = [request for request, _, _ in rows]
        if len(requests) == 1:
            answers = [await self._inner.exchange(requests[0], authorization)]
        else:
            answer = await self._inner.exchange(self._gatherer.join(requests), authorization)
            # Without a status nobody has read the request, or nobody knows: that holds for each row.
            answers = self._gatherer.split(answer, requests) if answer.status else [answer] * len(rows)
            answers = [own._replace(shared=number) for own in answers]
        for (_, done, tag), own in zip(rows, answers, strict=True):
            done(tag, own)

    async def close(self) -> None:
        """See `Transport.close`. What waits for company was never sent."""
        for timer in self._timers.values():
            timer.cancel()
        waiting = [row for rows in self._waiting.values() for row in rows]
        self._waiting.clear()
        for _, done, tag in waiting:
            done(tag, Answer(0, failure=NOT_SENT, detail="closed"))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inner.close()

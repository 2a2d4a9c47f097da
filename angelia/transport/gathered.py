"""Many rows in one request, for providers that take several messages at once.

It stands where a transport does, so nothing else knows of it: each row is submitted by itself and answered by
itself. What cannot have been seen, or may have been, holds for every row of the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from angelia.transport.exchanges import Exchanges, log_error
from angelia.transport.pooled_http import PooledHttp
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Done, Request

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
        self._exchanges = Exchanges()
        self.n_requests = 0

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`. Rows of one authorization and key share a request."""
        try:
            key = self._gatherer.key(request)
        except Exception as error:  # noqa: BLE001 - what cannot be joined goes out alone
            log_error("joining messages", error)
            key = None
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
        requests = [request for request, _, _ in rows]
        try:
            joined = self._gatherer.join(requests) if len(rows) > 1 else requests[0]
        except Exception as error:  # noqa: BLE001 - the message that cannot be joined is not known
            log_error("joining messages", error)
            for row in rows:
                self._begin([row], authorization)
            return
        self.n_requests += 1
        exchange = self._exchange(joined, requests, authorization, self.n_requests)
        self._exchanges.begin_all(exchange, [(done, tag) for _, done, tag in rows])

    async def _exchange(
        self, joined: Request, requests: Sequence[Request], authorization: bytes, number: int
    ) -> Sequence[Answer]:
        answer = await self._inner.exchange(joined, authorization)
        if len(requests) == 1:
            return (answer,)
        # Without a status nobody has read the request, or nobody knows: that holds for each row.
        answers = self._split(answer, requests) if answer.status else [answer] * len(requests)
        return [own._replace(shared=number) for own in answers]

    def _split(self, answer: Answer, requests: Sequence[Request]) -> Sequence[Answer]:
        """Return each row's own answer; all are unknown where the provider's cannot be taken apart."""
        try:
            answers = self._gatherer.split(answer, requests)
        except Exception as error:  # noqa: BLE001 - the messages are out, whatever their answer is
            answers, name = [], log_error("an answer to several messages", error)
        else:
            name = "another number of answers"
        if len(answers) != len(requests):
            return [Answer(0, failure=UNKNOWN, detail=name)] * len(requests)
        return answers

    async def close(self) -> None:
        """See `Transport.close`. What waits for company was never sent."""
        for timer in self._timers.values():
            timer.cancel()
        waiting = [row for rows in self._waiting.values() for row in rows]
        self._waiting.clear()
        for _, done, tag in waiting:
            done(tag, Answer(0, failure=NOT_SENT, detail="closed"))
        await self._exchanges.cancel()
        await self._inner.close()

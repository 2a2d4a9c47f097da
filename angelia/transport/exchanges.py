"""Exchanges under way, a task each; however it ends, its messages are answered once.

A message without an answer would keep its batch open for ever. An exchange that ends in an error of ours,
or is cancelled, may have sent its bytes: its answer is `unknown`. Logs name the type of an error, never its
text, which may hold an address or a token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from angelia.transport.wire import UNKNOWN, Answer, Done

log = logging.getLogger(__name__)


class Exchanges:
    """The tasks of one transport."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Sequence[Answer]]] = set()

    def begin(self, exchange: Coroutine[Any, Any, Answer], done: Done, tag: Any) -> None:
        """Run one message's exchange, then call `done(tag, answer)`."""
        self.begin_all(_alone(exchange), ((done, tag),))

    def begin_all(
        self, exchange: Coroutine[Any, Any, Sequence[Answer]], rows: Sequence[tuple[Done, Any]]
    ) -> None:
        """Run the exchange of several messages, which returns an answer for each in their order."""
        task = asyncio.get_running_loop().create_task(exchange)
        self._tasks.add(task)
        # As the task's callback: it is called however the task ends, even before its first step.
        task.add_done_callback(partial(self._answer, rows))

    def _answer(self, rows: Sequence[tuple[Done, Any]], task: asyncio.Task[Sequence[Answer]]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            why = "closed" if error is None else log_error("an exchange", error)
            answers: Sequence[Answer] = [Answer(0, failure=UNKNOWN, detail=why)] * len(rows)
        else:
            answers = task.result()
        for (done, tag), answer in zip(rows, answers, strict=True):
            try:
                done(tag, answer)
            except Exception as problem:  # noqa: BLE001 - one message's taker must not cost the others their answers
                log_error("an answer's taker", problem)

    async def finish(self) -> None:
        """Wait until all are over."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cancel(self) -> None:
        """End all; what they may have sent is unknown."""
        for task in self._tasks:
            task.cancel()
        await self.finish()


async def _alone(exchange: Coroutine[Any, Any, Answer]) -> Sequence[Answer]:
    return (await exchange,)


def log_error(what: str, error: BaseException) -> str:
    """Log an error that nobody expects, by its type; return that name, which holds no data."""
    name = type(error).__name__
    log.error("%s ended in %s", what, name)
    return name

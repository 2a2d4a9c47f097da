"""Group commit: the drafts of many requests in one transaction, answered after it.

While one transaction waits for the disk, requests gather, and the next takes them all: under load a wait for
the disk is shared by hundreds of requests; an idle server commits each one at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import sqlalchemy as sa

from angelia.errors import AngeliaError
from angelia.intake.database import Unavailable

D = TypeVar("D")
V = TypeVar("V")
D_contra = TypeVar("D_contra", contravariant=True)
V_co = TypeVar("V_co", covariant=True)

GROUP_ROWS = 5_000
MAX_WAITING_ROWS = 50_000  # some seconds of work: who comes later is better asked to come again


class Busy(AngeliaError):
    """More is waiting than can be written in a few seconds."""


class Sink(Protocol[D_contra, V_co]):
    """Where groups are written: a table of the intake, or the journal of callbacks."""

    def accept(self, drafts: Sequence[D_contra], /) -> Sequence[V_co]:
        """Return a verdict for each draft; what it says was taken is durable."""


@dataclass(slots=True)
class _Request(Generic[D, V]):
    drafts: Sequence[D]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[list[V]]


class GroupWriter(Generic[D, V]):
    """One thread that writes what requests hand in; `close` writes what has come in, then ends."""

    def __init__(self, store: Sink[D, V]) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[list[_Request[D, V]] | None] = queue.SimpleQueue()
        self._gathered: dict[asyncio.AbstractEventLoop, list[_Request[D, V]]] = {}
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="intake-writer", daemon=True)
        self._thread.start()

    async def write(self, drafts: Sequence[D]) -> list[V]:
        """Return a verdict for each draft once the accepted ones are durable.

        Raises:
            Busy: too much is waiting; nothing of this was taken.
            Unavailable: the database did not answer.
        """
        with self._lock:
            if self._waiting_rows and self._waiting_rows + len(drafts) > MAX_WAITING_ROWS:
                raise Busy("the intake has more waiting than it can write soon", fix="try again in a second")
            self._waiting_rows += len(drafts)
        loop = asyncio.get_running_loop()
        request = _Request(drafts, loop, loop.create_future())
        # Handed over once a turn of the loop: each hand-over wakes the thread, and waking it costs a switch.
        gathered = self._gathered.setdefault(loop, [])
        gathered.append(request)
        if len(gathered) == 1:
            loop.call_soon(self._hand_over, loop)
        return await request.answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered = self._gathered.pop(loop, None)
        if gathered is not None:
            self._queue.put(gathered)

    def close(self) -> None:
        """Write what has come in, then end the thread."""
        for loop in list(self._gathered):
            self._hand_over(loop)
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            group: list[_Request[D, V]] = []
            rows = 0
            requests = self._queue.get()
            while requests is not None:
                group += requests
                rows += sum(len(request.drafts) for request in requests)
                if rows >= GROUP_ROWS or self._queue.empty():
                    break
                requests = self._queue.get()
            is_over = requests is None
            self._write_group(group)
            with self._lock:
                self._waiting_rows -= rows

    def _write_group(self, group: list[_Request[D, V]]) -> None:
        if not group:
            return
        outcome: list[list[V]] | Exception
        try:
            verdicts = iter(self._store.accept([draft for request in group for draft in request.drafts]))
            outcome = [[next(verdicts) for _ in request.drafts] for request in group]
        except (AngeliaError, sa.exc.SQLAlchemyError) as error:
            if len(group) > 1 and not isinstance(error, Unavailable):
                # The fault is one request's, and the others must not suffer from it.
                for request in group:
                    self._write_group([request])
                return
            outcome = error if isinstance(error, AngeliaError) else Unavailable("the database refused")
        except Exception as error:  # noqa: BLE001 (a thread that dies would leave every request waiting)
            outcome = error
        for loop in {request.loop for request in group}:
            mine = [number for number, request in enumerate(group) if request.loop is loop]
            loop.call_soon_threadsafe(_answer, [group[number] for number in mine], outcome, mine)


def _answer(requests: list[_Request[D, V]], outcome: list[list[V]] | Exception, numbers: list[int]) -> None:
    for request, number in zip(requests, numbers, strict=True):
        if request.answer.done():  # its client hung up
            continue
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result(outcome[number])

"""What the routes share: whom to believe, group commit, limits, and what was counted.

Writes the journal, and the messages that workers hand in for inboxes. Surprise: an answer to a repetition is
kept in memory only; after a restart a repeated request is kept again, and counted once by folding.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from angelia.errors import AngeliaError
from angelia.intake.database import Unavailable
from angelia.intake.writing import Busy, D, GroupWriter, V
from angelia.lake import Lake
from angelia.receive.callbacks.base import Reported
from angelia.receive.inbox.store import InboxMessage, InboxStore
from angelia.receive.journal import Event, Journal
from angelia.receive.trust import Trust

MAX_BODY = 1 << 20
MAX_HELD = 256 << 20  # bytes of bodies that are here in part: a flood is refused, not kept
TIMEOUT_S = 10.0  # for a body, from the end of its head to its last byte
_REMEMBERED = 50_000  # requests whose repetition is answered without being kept again


class NotTaken(Exception):
    """An answer that ends a request."""

    def __init__(
        self,
        status: int,
        error: str,
        more: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.status, self.document, self.headers = status, {"error": error, **(more or {})}, headers

    def answer(self) -> JSONResponse:
        """Return what the caller reads; where it is asked to come again, after a second."""
        headers = {"retry-after": "1"} if self.status == 503 else self.headers
        return JSONResponse(self.document, self.status, headers)


class _Groups:
    """The journal as a sink of group commit: each event's verdict is its group's key."""

    def __init__(self, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal, self._now = journal, now

    def accept(self, drafts: Sequence[Event], /) -> list[str]:
        """Keep the events of many requests as one object."""
        try:
            return [self._journal.keep(drafts, self._now())] * len(drafts)
        except (AngeliaError, OSError) as error:
            raise Unavailable(f"the journal cannot be written ({type(error).__name__})") from None


class CallbackReceiver:
    """What the routes share: whom to believe, the journal, and what was counted.

    `has_event` is set when an event came.
    """

    def __init__(
        self, journal: Journal, trust: Trust, now: Callable[[], datetime], lake: Lake | None = None
    ) -> None:
        self.journal, self.trust, self.now, self.lake = journal, trust, now, lake
        self.inbox = InboxStore(lake, now) if lake is not None and trust.inbox else None
        self.counts: Counter[str] = Counter()
        self.has_event = threading.Event()
        self._taken: OrderedDict[bytes, str] = OrderedDict()
        self._held = 0
        self._writer: GroupWriter[Event, str] | None = None
        self._inbox_writer: GroupWriter[InboxMessage, None] | None = None

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        """Write while the server runs; end when everything taken is written."""
        self._writer = GroupWriter(_Groups(self.journal, self.now))
        self._inbox_writer = GroupWriter(self.inbox) if self.inbox is not None else None
        yield
        await run_in_threadpool(self._writer.close)
        if self._inbox_writer is not None:
            await run_in_threadpool(self._inbox_writer.close)

    async def body(self, request: Request) -> bytes:
        """Return a body within its time. Raises: NotTaken."""
        parts, size = [], 0
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async for part in request.stream():
                    if part and self._held > MAX_HELD:
                        raise NotTaken(503, "busy")
                    parts.append(part)
                    size += len(part)
                    self._held += len(part)
        except TimeoutError:
            raise NotTaken(408, "too slow") from None
        finally:
            self._held -= size
        return b"".join(parts)

    async def take(self, name: str, reported: Reported) -> JSONResponse:
        """Keep what a request reports; answer when it is durable. Raises: NotTaken."""
        digest = sha256(name.encode()).digest()
        known = self._taken.get(digest)
        is_repeated = known is not None and await run_in_threadpool(self.journal.stands, known)
        if not is_repeated:
            if reported.events:
                self._taken[digest] = await self._write(reported.events)
                if len(self._taken) > _REMEMBERED:
                    self._taken.popitem(last=False)
                self.has_event.set()
            self.counts["events"] += len(reported.events)
            self.counts["refused"] += len(reported.refused)
            self.counts["ignored"] += reported.ignored
        self.counts["repeated" if is_repeated else "requests"] += 1
        document: dict[str, object] = {"taken": len(reported.events), "repeated": is_repeated}
        if reported.refused:
            document["refused"] = reported.refused
        if reported.ignored:
            document["ignored"] = reported.ignored
        return JSONResponse(document)

    async def keep_message(self, message: InboxMessage) -> None:
        """Keep a message of an inbox; it is durable when this returns. Raises: NotTaken."""
        await self._written(self._inbox_writer, [message])
        self.counts["inbox"] += 1

    async def _write(self, events: Sequence[Event]) -> str:
        return (await self._written(self._writer, events))[0]

    async def _written(self, writer: GroupWriter[D, V] | None, drafts: Sequence[D]) -> list[V]:
        assert writer is not None, "the application has not started"
        try:
            return await writer.write(drafts)
        except Busy:
            raise NotTaken(503, "busy") from None
        except Unavailable:
            raise NotTaken(503, "not stored") from None  # the caller tries again


def utc_now() -> datetime:
    """Return this instant."""
    return datetime.now(UTC)

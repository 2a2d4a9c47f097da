"""One HTTP/2 connection of the client: its streams, their deadlines and how they end.

Reads and writes its socket; calls `done` exactly once for each request, whatever happens to the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from angelia.errors import InvalidInput
from angelia.transport import http2
from angelia.transport.header_blocks import Headers, WireError, plain_block
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Done, Request

_BODY_LIMIT = 1 << 20
_STREAMS_PER_CONNECTION = 1_000_000  # then a fresh one takes over; ids end at 2^31
_TIMEOUTS_IN_A_ROW = 20  # then the connection counts as dead and is replaced


class Stream:
    """One request under way."""

    __slots__ = ("body", "deadline", "done", "headers", "size", "status", "tag")

    def __init__(self, done: Done, tag: Any, deadline: float) -> None:
        self.done, self.tag, self.deadline = done, tag, deadline
        self.status = 0
        self.headers: Headers = ()
        self.body: bytes | list[bytes] = b""
        self.size = 0


class Connection(http2.Http2Protocol):
    """One client connection."""

    def __init__(
        self, authority: bytes, scheme: bytes, on_room: Callable[[Connection], None], timeout_s: float = 10.0
    ) -> None:
        super().__init__()
        self.authority, self.scheme, self._on_room, self.timeout_s = authority, scheme, on_room, timeout_s
        self.streams: dict[int, Stream] = {}
        self.next_stream = 1
        self.flushed_stream = 0
        self.closing = False  # takes nothing new
        self.lost = False
        self.timeouts = 0  # since the last answer
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._fixed: dict[tuple[bytes, bytes, Headers], tuple[Headers, Headers]] = {}

    def hello(self) -> bytes:
        """Return preface and settings."""
        pairs = {
            http2.SETTINGS_ENABLE_PUSH: 0,
            http2.SETTINGS_INITIAL_WINDOW_SIZE: http2.OUR_STREAM_WINDOW,
            http2.SETTINGS_MAX_CONCURRENT_STREAMS: 0,
        }
        return http2.PREFACE + http2.settings(pairs)

    @property
    def room(self) -> int:
        """How many more streams the peer allows now."""
        return 0 if self.closing or not self.settings_seen else self.peer_max_streams - len(self.streams)

    def send(self, request: Request, authorization: bytes, stream: Stream) -> None:
        """Start one stream."""
        number = self.next_stream
        self.next_stream = number + 2
        if number > _STREAMS_PER_CONNECTION * 2:
            self.closing = True
        key = (b"" if request.own_path else request.path, authorization, request.headers)
        fixed = self._fixed.get(key)
        if fixed is None:
            if len(self._fixed) > 256:
                self._fixed.clear()
            auth = ((b"authorization", authorization),) if authorization else ()
            pseudo = ((b":method", b"POST"), (b":scheme", self.scheme), (b":authority", self.authority))
            own = () if request.own_path else ((b":path", request.path),)
            fixed = self._fixed[key] = ((*pseudo, *own), (*auth, *request.headers))
        block = self.encoder.encode(fixed[0])
        if request.own_path:  # never in the compression table, where it would push out headers that repeat
            block += plain_block(((b":path", request.path),))
        block += self.encoder.encode(fixed[1])
        if request.extra:
            block += plain_block(request.extra)
        if len(block) > self.peer_max_frame:
            raise InvalidInput("request headers longer than one HTTP/2 frame")
        self.streams[number] = stream
        self.head_and_body(number, block, request.body)

    def flush(self) -> None:
        """Write, and remember which streams' bytes have left our hands.

        A process that was paused (SIGSTOP, a suspended machine) between queueing and writing must not send
        when it wakes: others count on nothing leaving later than the request timeout after it was checked.
        Frames cannot be taken back one by one, so the connection goes.
        """
        if self.next_stream - 2 > self.flushed_stream and self.loop.time() - self._queued_at > self.timeout_s:
            self._scheduled, self.closing = False, True
            self._out.clear()
            if self.transport is not None:
                self.transport.abort()
            return
        self.flushed_stream = self.next_stream - 2
        super().flush()

    def data_received(self, data: bytes) -> None:
        """Take frames.

        A body that waited for window longer than its request may take is not sent when the window opens.
        """
        if self.unsent:
            now = self.loop.time()
            for number in [n for n in self.unsent if n in self.streams and self.streams[n].deadline <= now]:
                self.cancel(number, "no window in time")
        super().data_received(data)

    def fail(self, error: WireError) -> None:
        """End the connection: requests handed to it from now on would never leave."""
        self.closing = True
        super().fail(error)

    def leave(self) -> None:
        """Take nothing new, tell the peer so, and close once what is queued has left."""
        self.closing = True
        if self.transport is not None:
            self.push(http2.frame(http2.GOAWAY, 0, 0, bytes(8)))
            self.flush()
            self.transport.close()

    def on_window(self) -> None:
        """Tell the pool that more may be sent now."""
        self._on_room(self)

    def on_headers(self, stream: int, headers: Headers, ended: bool) -> None:
        """Take a response head (a second one is trailers, which carry nothing we use)."""
        entry = self.streams.get(stream)
        if entry is None:
            return
        if headers and headers[0][0] == b":status":
            if len(headers[0][1]) != 3 or not headers[0][1].isdigit():
                raise WireError(http2.PROTOCOL_ERROR, "a status that is not a number")
            status = int(headers[0][1])
            if status < 200:
                return
            entry.status, entry.headers = status, headers
        if ended:
            self._finish(stream, entry)

    def on_data(self, stream: int, payload: bytes, ended: bool) -> None:
        """Take body bytes, at most 1 MiB of them."""
        entry = self.streams.get(stream)
        if entry is None:
            return
        if ended and not entry.size:
            entry.body = payload
            self._finish(stream, entry)
            return
        if isinstance(entry.body, bytes):
            entry.body = []
        entry.body.append(payload)
        entry.size += len(payload)
        if entry.size > _BODY_LIMIT:
            self.cancel(stream, "answer longer than 1 MiB")
        elif ended:
            self._finish(stream, entry)

    def _finish(self, stream: int, entry: Stream) -> None:
        del self.streams[stream]
        self.timeouts = 0
        body = entry.body if isinstance(entry.body, bytes) else b"".join(entry.body)
        if stream in self.unsent:  # answered before it had read everything
            self.forget(stream)
            self.push(http2.frame(http2.RST_STREAM, 0, stream, http2.CANCEL.to_bytes(4, "big")))
        entry.done(entry.tag, Answer(entry.status, body, entry.headers, None if entry.status else UNKNOWN))
        self._on_room(self)

    def cancel(self, stream: int, why: str) -> None:
        """Give a stream up: its bytes may have been read."""
        entry = self.streams.pop(stream)
        self.forget(stream)
        self.push(http2.frame(http2.RST_STREAM, 0, stream, http2.CANCEL.to_bytes(4, "big")))
        entry.done(entry.tag, Answer(0, failure=UNKNOWN, detail=why))
        self._on_room(self)

    def on_reset(self, stream: int, code: int) -> None:
        """End a stream that the peer reset.

        REFUSED_STREAM promises that nothing was processed (RFC 9113, 8.7); any other code promises nothing.
        """
        entry = self.streams.pop(stream, None)
        if entry is not None:
            self.forget(stream)
            failure = NOT_SENT if code == http2.REFUSED_STREAM else UNKNOWN
            entry.done(entry.tag, Answer(0, failure=failure, detail=f"stream reset, code {code}"))
            self._on_room(self)

    def on_goaway(self, last: int, code: int) -> None:
        """Streams above `last` were not processed; the others may still be answered."""
        self.closing = True
        for number in [n for n in self.streams if n > last]:
            entry = self.streams.pop(number)
            self.forget(number)
            entry.done(entry.tag, Answer(0, failure=NOT_SENT, detail=f"GOAWAY, code {code}"))
        self._on_room(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Settle every stream: `not_sent` if its bytes had not left, else `unknown`."""
        self.closing = self.lost = True
        streams, self.streams = self.streams, {}
        self.unsent.clear()
        self.stream_windows.clear()
        for number, entry in streams.items():
            failure = UNKNOWN if number <= self.flushed_stream else NOT_SENT
            entry.done(entry.tag, Answer(0, failure=failure, detail="connection lost"))
        self._on_room(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def sweep(self, now: float) -> None:
        """Give up streams whose time is over (they are in order of their start)."""
        while self.streams:
            number = next(iter(self.streams))
            if self.streams[number].deadline > now:
                return
            self.timeouts += 1
            self.closing = self.closing or self.timeouts >= _TIMEOUTS_IN_A_ROW
            self.cancel(number, "no answer in time")

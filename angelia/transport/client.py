"""An HTTP/2 client for fan-out: a few connections to one provider, many streams each, callbacks instead of a
task per request.

Surprises: cleartext addresses (http://) speak HTTP/2 with prior knowledge; nothing is ever re-sent here (the
worker decides, the ledger knows); a request that no connection could take within its time limit is
`not_sent`, one whose bytes left is `unknown`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from angelia.errors import AngeliaError, InvalidInput
from angelia.transport import http2
from angelia.transport.header_blocks import Headers, WireError, plain_block
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request

Done = Callable[[Any, Answer], None]
_BODY_LIMIT = 1 << 20
_STREAMS_PER_CONNECTION = 1_000_000  # then a fresh one takes over; ids end at 2^31
_TIMEOUTS_IN_A_ROW = 20  # then the connection is taken for dead and replaced


class _Stream:
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
        self.streams: dict[int, _Stream] = {}
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

    def send(self, request: Request, authorization: bytes, stream: _Stream) -> None:
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
        if request.own_path:  # as it is: in the compression table it would push out what repeats
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
        """Take frames; a body that waited for window longer than its request may take is not sent when the
        window opens.
        """
        if self.unsent:
            now = self.loop.time()
            for number in [n for n in self.unsent if n in self.streams and self.streams[n].deadline <= now]:
                self.cancel(number, "no window in time")
        super().data_received(data)

    def fail(self, error: WireError) -> None:
        """End the connection; what is handed to it from now on would never leave."""
        self.closing = True
        super().fail(error)

    def on_window(self) -> None:
        """More may be sent now."""
        self._on_room(self)

    def on_headers(self, stream: int, headers: Headers, ended: bool) -> None:
        """Take a response head (a second one is trailers, which carry nothing we use)."""
        entry = self.streams.get(stream)
        if entry is None:
            return
        if headers and headers[0][0] == b":status":
            if len(headers[0][1]) != 3 or not headers[0][1].isdigit():
                raise WireError(http2.PROTOCOL_ERROR, "a status that is no number")
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

    def _finish(self, stream: int, entry: _Stream) -> None:
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
        """REFUSED_STREAM promises that nothing was processed (RFC 9113, 8.7); any other code promises
        nothing.
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
        """What had not left our hands was not sent; the rest is unknown."""
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


class Http2Client:
    """A pool of connections to one base address."""

    def __init__(
        self, base_url: str, *, connections: int = 2, timeout_s: float = 10.0, ca_file: Path | None = None
    ) -> None:
        parts = urlsplit(base_url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise InvalidInput(
                "the provider's base address is not http(s)://host[:port][/path]",
                fix="for example https://127.0.0.1:8443",
            )
        self.scheme, self.host = parts.scheme, parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.prefix = parts.path.rstrip("/").encode()
        default = 443 if parts.scheme == "https" else 80
        self.authority = (self.host if self.port == default else f"{self.host}:{self.port}").encode()
        self.timeout_s = timeout_s
        self._tls = tls_context(ca_file) if parts.scheme == "https" else None
        self._wanted = connections
        self._connections: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Request, bytes, _Stream]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._failures = 0
        self._retry_at = 0.0
        self.last_error = ""

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`."""
        loop = asyncio.get_running_loop()
        stream = _Stream(done, tag, loop.time() + self.timeout_s)
        if self._sweeper is None:
            self._sweeper = loop.call_later(0.1, self._sweep)
        best: Connection | None = None
        load = 1 << 30
        for connection in self._connections:
            if connection.room > 0 and len(connection.streams) < load:
                best, load = connection, len(connection.streams)
        if best is not None and not self._waiting:
            best.send(request, authorization, stream)
        else:
            self._waiting.append((request, authorization, stream))
        if len(self._connections) < self._wanted and self._live() < self._wanted:
            self._open()

    def _live(self) -> int:
        return sum(not connection.closing for connection in self._connections) + len(self._opening)

    def _open(self) -> None:
        if asyncio.get_running_loop().time() >= self._retry_at:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout_s):
                transport, protocol = await loop.create_connection(
                    lambda: Connection(self.authority, self.scheme.encode(), self._on_room, self.timeout_s),
                    self.host,
                    self.port,
                    ssl=self._tls,
                    server_hostname=self.host if self._tls else None,
                )
            if (
                self._tls is not None
                and transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2"
            ):
                transport.abort()
                raise ssl.SSLError("the server does not speak HTTP/2")
        except (OSError, TimeoutError) as error:
            self._failures += 1
            self._retry_at = loop.time() + min(5.0, 0.05 * 2 ** min(self._failures, 10))
            self.last_error = type(error).__name__ + (
                f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            )
            return
        self._failures, self._retry_at = 0, 0.0
        self._connections.append(protocol)

    def _on_room(self, connection: Connection) -> None:
        if connection.lost:
            if connection in self._connections:
                self._connections.remove(connection)
            if self._waiting and not self._opening:
                self._open()
            return
        if connection.closing:
            if not connection.streams and connection.transport is not None:
                connection.transport.close()
            if self._waiting and self._live() < self._wanted:
                self._open()
            return
        waiting = self._waiting
        if waiting:
            self._expire(connection.loop.time())
        while waiting and connection.room > 0:
            request, authorization, stream = waiting.popleft()
            connection.send(request, authorization, stream)

    def _expire(self, now: float) -> None:
        """Give back what has waited too long for a connection."""
        while self._waiting and self._waiting[0][2].deadline <= now:
            _, _, stream = self._waiting.popleft()
            stream.done(
                stream.tag, Answer(0, failure=NOT_SENT, detail=self.last_error or "no connection in time")
            )

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._sweeper = None
        for connection in list(self._connections):
            connection.sweep(now)
        self._expire(now)
        if self._waiting and self._live() < self._wanted:
            self._open()
        if self._waiting or any(connection.streams for connection in self._connections):
            self._sweeper = loop.call_later(0.1, self._sweep)

    async def fetch(self, request: Request) -> Answer:
        """Send one request and wait for its answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.submit(
            request, b"", lambda _, answer: None if future.done() else future.set_result(answer), None
        )
        return await future

    async def close(self) -> None:
        """See `Transport.close`. Says goodbye and waits a second for the peer to hang up."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        connections = list(self._connections)
        for connection in connections:
            connection.closing = True
            if connection.transport is not None:
                connection.push(http2.frame(http2.GOAWAY, 0, 0, bytes(8)))
                connection.flush()
                connection.transport.close()
        if connections:
            _, hanging = await asyncio.wait([connection.ended for connection in connections], timeout=1.0)
            if hanging:
                for connection in connections:
                    if connection.transport is not None:
                        connection.transport.abort()
                await asyncio.wait(hanging, timeout=1.0)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying client context that offers HTTP/2; `ca_file` replaces the system's authorities."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise AngeliaError(
            f"cannot read the CA file: {error}", fix="set ANGELIA_CA_FILE to a PEM file"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context

"""An HTTP/2 client for fan-out: few connections to one provider, many streams on each.

Callbacks answer, not a task per request. Surprise: cleartext addresses (http://) speak HTTP/2 with prior
knowledge; nothing is ever sent again here (the worker decides, the ledger knows); a request that no
connection could take within its time limit is `not_sent`, one whose bytes left is `unknown`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.connection import Connection, Stream
from angelia.transport.exchanges import log_error
from angelia.transport.wire import NOT_SENT, Answer, Done, Request


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
        self._waiting: deque[tuple[Request, bytes, Stream]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._failures = 0
        self._retry_at = 0.0
        self.last_error = ""

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """See `Transport.submit`."""
        loop = asyncio.get_running_loop()
        stream = Stream(done, tag, loop.time() + self.timeout_s)
        if self._sweeper is None:
            self._sweeper = loop.call_later(0.1, self._sweep)
        best: Connection | None = None
        load = 1 << 30
        for connection in self._connections:
            if connection.room > 0 and len(connection.streams) < load:
                best, load = connection, len(connection.streams)
        if best is not None and not self._waiting:
            _start(best, request, authorization, stream)
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
        except (OSError, TimeoutError, ValueError) as error:  # ValueError: a host that no name can have
            self._failed(error)
            return
        except Exception as error:  # noqa: BLE001 - those that wait are answered in time, whatever this is
            log_error("a connection", error)
            self._failed(error)
            return
        self._failures, self._retry_at = 0, 0.0
        self._connections.append(protocol)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._retry_at = asyncio.get_running_loop().time() + min(5.0, 0.05 * 2 ** min(self._failures, 10))
        self.last_error = type(error).__name__ + (
            f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        )

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
            _start(connection, request, authorization, stream)

    def _expire(self, now: float) -> None:
        """Answer requests that have waited too long for a connection."""
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
            connection.leave()
        if connections:
            _, hanging = await asyncio.wait([connection.ended for connection in connections], timeout=1.0)
            if hanging:
                for connection in connections:
                    if connection.transport is not None:
                        connection.transport.abort()
                await asyncio.wait(hanging, timeout=1.0)


def _start(connection: Connection, request: Request, authorization: bytes, stream: Stream) -> None:
    """Begin a stream; after one that cannot be written, none follows on its connection."""
    number = connection.next_stream
    try:
        connection.send(request, authorization, stream)
    except Exception as error:  # noqa: BLE001 - a defect met by one message is its answer, and stops no other
        # Its headers may stand in our compression table, and not in the peer's.
        connection.closing = True
        connection.streams.pop(number, None)
        if not connection.streams and connection.transport is not None:
            connection.transport.close()
        answer = Answer(0, failure=NOT_SENT, detail=log_error("a request", error))
        connection.loop.call_soon(stream.done, stream.tag, answer)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying client context that offers HTTP/2.

    `ca_file` replaces the system's authorities.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise AngeliaError(
            f"cannot read the CA file: {error}", fix="set ANGELIA_CA_FILE to a PEM file"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context

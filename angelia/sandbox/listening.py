"""The sandbox's HTTP connections: HTTP/2 and HTTP/1.1 on one port.

ALPN or the first bytes choose between them. Each connection hands whole requests to `front.Front`, and gives
its reply the fate that the rules ask for: late, reset, silent, refused, dripped.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import weakref
from typing import cast

from angelia.sandbox.fcm import Reply
from angelia.sandbox.front import Front
from angelia.transport import http2
from angelia.transport.header_blocks import Headers, plain_block

_BODY_LIMIT = 1 << 20
_DRIP_S = 0.5
_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    429: b"Too Many Requests",
    500: b"Error",
}


class H2Server(http2.Http2Protocol):
    """One HTTP/2 connection."""

    def __init__(self, sandbox: Front) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._open: dict[int, tuple[Headers, list[bytes]]] = {}
        self._preface = len(http2.PREFACE)
        self._blocks: dict[tuple[int, bytes, bytes | None], bytes] = {}
        self._last = 0
        self._final: int | None = None  # after GOAWAY: the last stream that is still served

    def hello(self) -> bytes:
        """Return our settings: 1,000 streams, as a large provider's front end allows."""
        return http2.settings(
            {
                http2.SETTINGS_MAX_CONCURRENT_STREAMS: 1000,
                http2.SETTINGS_INITIAL_WINDOW_SIZE: http2.OUR_STREAM_WINDOW,
            }
        )

    def data_received(self, data: bytes) -> None:
        """Take the preface off, then frames."""
        if self._preface:
            expected = http2.PREFACE[-self._preface :][: len(data)]
            if data[: len(expected)] != expected:
                assert self.transport is not None
                self.transport.abort()
                return
            self._preface -= len(expected)
            data = data[len(expected) :]
            if not data:
                return
        super().data_received(data)

    def on_headers(self, stream: int, headers: Headers, ended: bool) -> None:
        """Begin a request.

        After GOAWAY none begins: the client has learnt that it will not be processed (RFC 9113, 6.8).
        """
        if self._final is not None and stream > self._final:
            return
        if ended:
            self._answer(stream, headers, b"")
        else:
            self._open[stream] = (headers, [])

    def on_data(self, stream: int, payload: bytes, ended: bool) -> None:
        """A body goes on."""
        entry = self._open.get(stream)
        if entry is None:
            return
        if ended:
            del self._open[stream]
            body = b"".join((*entry[1], payload)) if entry[1] else payload
            self._answer(stream, entry[0], body)
        else:
            entry[1].append(payload)
            if sum(map(len, entry[1])) > _BODY_LIMIT:
                del self._open[stream]
                self.push(
                    http2.frame(http2.RST_STREAM, 0, stream, http2.ENHANCE_YOUR_CALM.to_bytes(4, "big"))
                )
            else:  # large bodies need more of the stream's window
                self.push(
                    http2.frame(http2.WINDOW_UPDATE, 0, stream, len(payload).to_bytes(4, "big"))
                ) if payload else None

    def on_reset(self, stream: int, code: int) -> None:
        """The client gave up."""
        self._open.pop(stream, None)
        self.forget(stream)

    def _answer(self, stream: int, headers: Headers, body: bytes) -> None:
        method = path = authorization = b""
        for name, value in headers:
            if name == b":path":
                path = value
            elif name == b":method":
                method = value
            elif name == b"authorization":
                authorization = value
        reply = self._sandbox.answer(method, path, authorization, headers, body)
        if reply.then is not None:
            self._misfortune(stream, reply)
        else:
            self._reply(stream, reply)
        self._last = max(self._last, stream)

    def _reply(self, stream: int, reply: Reply) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        self.head_and_body(stream, self._response_head(reply), reply.body)

    def _response_head(self, reply: Reply) -> bytes:
        key = (reply.status, reply.content_type, reply.retry_after)
        block = self._blocks.get(key)
        if block is None:
            headers = [(b":status", str(reply.status).encode()), (b"content-type", reply.content_type)]
            if reply.retry_after:
                headers.append((b"retry-after", reply.retry_after))
            block = self._blocks[key] = plain_block(headers)
        return block + plain_block(reply.headers) if reply.headers else block

    def _misfortune(self, stream: int, reply: Reply) -> None:
        then = reply.then
        assert then is not None
        assert self.transport is not None
        if then.delay_s:
            self._sandbox.phones.begin()
            self.loop.call_later(then.delay_s, self._reply_late, stream, reply)
        elif then.reset or then.needs_raw:  # a break this front cannot do becomes at least a missing answer
            reset(self.transport)
        elif then.silent:
            return
        elif then.refuse:
            self.push(http2.frame(http2.RST_STREAM, 0, stream, http2.REFUSED_STREAM.to_bytes(4, "big")))
        elif then.goaway:
            self._final = self._last
            for later in [number for number in self._open if number > self._final]:
                del self._open[later]
            self.push(http2.frame(http2.GOAWAY, 0, 0, self._last.to_bytes(4, "big") + bytes(4)))
        elif then.drip:
            self.push(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, self._response_head(reply)))
            self._drip(stream, reply.body)
        else:
            self._reply(stream, reply)

    def _reply_late(self, stream: int, reply: Reply) -> None:
        self._sandbox.phones.end()
        self._reply(stream, reply)

    def _drip(self, stream: int, rest: bytes) -> None:
        if self.transport is None or self.transport.is_closing() or not rest:
            return
        self.push(http2.frame(http2.DATA, http2.END_STREAM if len(rest) == 1 else 0, stream, rest[:1]))
        self.loop.call_later(_DRIP_S, self._drip, stream, rest[1:])


class H1Server(asyncio.Protocol):
    """One HTTP/1.1 connection: keep-alive, one request at a time, Content-Length bodies."""

    def __init__(self, sandbox: Front) -> None:
        self._sandbox = sandbox
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        assert self.transport is not None
        self._buffer += data
        while not self.transport.is_closing():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                # No end of the head in 64 KiB: this is not HTTP.
                if len(self._buffer) > 65_536:
                    self.transport.close()
                return
            lines = bytes(self._buffer[:end]).split(b"\r\n")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(b":") for line in lines[1:])
            }
            length = headers.get(b"content-length", b"0")
            request = lines[0].split(b" ")
            if (
                len(request) != 3
                or not length.isdigit()
                or int(length) > _BODY_LIMIT
                or b"transfer-encoding" in headers
            ):
                self.transport.write(
                    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
                self.transport.close()
                return
            total = end + 4 + int(length)
            # The body is not complete yet: keep the bytes and wait for more.
            if len(self._buffer) < total:
                return
            body = bytes(self._buffer[end + 4 : total])
            del self._buffer[:total]
            self._write(
                self._sandbox.answer(
                    request[0], request[1], headers.get(b"authorization", b""), tuple(headers.items()), body
                )
            )

    def _write(self, reply: Reply) -> None:
        assert self.transport is not None
        then = reply.then
        if then is not None and (then.reset or then.refuse or then.goaway or then.needs_raw):
            reset(self.transport)
            return
        if then is not None and then.silent:
            return
        head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n" % (
            reply.status, _REASONS.get(reply.status, b"-"), reply.content_type, len(reply.body),
        )  # fmt: skip
        if reply.retry_after:
            head += b"retry-after: %b\r\n" % reply.retry_after
        head += b"".join(b"%b: %b\r\n" % pair for pair in reply.headers)
        data = head + b"\r\n" + reply.body
        if then is not None and then.delay_s:
            asyncio.get_running_loop().call_later(then.delay_s, self.transport.write, data)
        elif then is not None and then.drip:
            self._drip(data)
        else:
            self.transport.write(data)

    def _drip(self, rest: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing() and rest:
            self.transport.write(rest[:1])
            asyncio.get_running_loop().call_later(_DRIP_S, self._drip, rest[1:])


class Chooser(asyncio.Protocol):
    """Hands a connection to HTTP/2 or HTTP/1.1, by ALPN or else by its first bytes.

    aioapns, for one, offers no ALPN.
    """

    def __init__(self, sandbox: Front, connections: weakref.WeakSet[asyncio.Transport]) -> None:
        self._sandbox, self._connections = sandbox, connections
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Choose at once where TLS has settled it."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self._transport)
        self._sandbox.phones.connected()
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() is not None:
            self._hand_over(
                H2Server(self._sandbox) if tls.selected_alpn_protocol() == "h2" else H1Server(self._sandbox),
                b"",
            )

    def data_received(self, data: bytes) -> None:
        """Choose by the first four bytes."""
        self._seen += data
        if len(self._seen) >= 4:
            self._hand_over(
                H2Server(self._sandbox) if self._seen.startswith(b"PRI ") else H1Server(self._sandbox),
                self._seen,
            )

    def _hand_over(self, protocol: H2Server | H1Server, data: bytes) -> None:
        assert self._transport is not None
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data:
            protocol.data_received(data)


def reset(transport: asyncio.Transport) -> None:
    """Close with RST, so that the peer loses whatever it has not read yet."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()

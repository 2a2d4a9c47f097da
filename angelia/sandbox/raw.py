"""The raw front end: HTTP/2 and HTTP/1.1 from sockets and hand-made frames, to break.

An orderly server cannot break where this one does. It shares no framing code with the client under test. The
same front ends verify signatures and count messages, so its counts are the witness too. The rule file
(`rules.py`) says which message or connection breaks, and how. Surprise: it is slow (one read and one write a
frame) and grants windows once; it is for breaking, not for throughput.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Coroutine

from hpack import Decoder, HPACKError

from angelia.sandbox.fcm import Reply
from angelia.sandbox.front import Front
from angelia.sandbox.phones import Phones
from angelia.sandbox.raw_wire import Ended, Wire
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers, plain_block
from angelia.transport.http2 import PREFACE, frame

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_CODES = {
    "NO_ERROR": 0,
    "PROTOCOL_ERROR": 1,
    "INTERNAL_ERROR": 2,
    "REFUSED_STREAM": 7,
    "CANCEL": 8,
    "ENHANCE_YOUR_CALM": 11,
}
_LAST_POSSIBLE = 2**31 - 1
_BODY_LIMIT, _FRAME, _DRIP_S = 1 << 20, 16_384, 0.2


class RawFront:
    """The listening socket, and everything that was accepted from it."""

    def __init__(self, front: Front, phones: Phones, rules: Rules, tls: ssl.SSLContext) -> None:
        self._front, self.phones, self._rules, self._tls = front, phones, rules, tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None

    def listen(self, host: str, port: int = 0) -> int:
        """Listen and return the port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self._socket.listen(512)
        self._socket.setblocking(False)
        self._start(self._accept(self._socket))
        return int(self._socket.getsockname()[1])

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listening)
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.phones.connected()
            self._start(self._serve(Wire(connection, self._tls), self._rules.find_connection()))

    async def _serve(self, wire: Wire, broken: str | None) -> None:
        try:
            await wire.shake_hands(broken)
            if wire.protocol == "h2":
                await _Http2(wire, self._front).run()
            else:
                await _Http1(wire, self._front).run()
        except (Ended, HPACKError, ssl.SSLError, ValueError, IndexError):
            pass
        finally:
            wire.close()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._socket is not None:
            self._socket.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Http2:
    """One HTTP/2 connection."""

    def __init__(self, wire: Wire, front: Front) -> None:
        self._wire, self._front = wire, front
        self._decoder = Decoder()
        self._requests: dict[int, tuple[Headers, bytearray]] = {}
        self._block: tuple[int, bool, bytearray] | None = None
        self._final = _LAST_POSSIBLE  # streams above it are not served
        self._last = 0
        self._later: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Answer until the connection ends. Raises: Ended."""
        if await self._wire.exactly(len(PREFACE)) != PREFACE:
            raise Ended
        settings = b"".join(
            key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in ((3, 1000), (4, _BODY_LIMIT))
        )
        await self._wire.write(
            frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, (1 << 30).to_bytes(4, "big"))
        )
        try:
            while True:
                head = await self._wire.exactly(9)
                payload = await self._wire.exactly(int.from_bytes(head[:3], "big"))
                await self._take(head[3], head[4], int.from_bytes(head[5:], "big") & _LAST_POSSIBLE, payload)
        finally:
            for task in self._later:
                task.cancel()

    async def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_DATA, _HEADERS) and flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == _HEADERS:
            self._block = (
                stream,
                bool(flags & _END_STREAM),
                bytearray(payload[5 if flags & _PRIORITY else 0 :]),
            )
        elif kind == _CONTINUATION and self._block is not None:
            self._block[2].extend(payload)
        elif kind == _DATA and stream in self._requests:
            body = self._requests[stream][1]
            body += payload
            if flags & _END_STREAM or len(body) > _BODY_LIMIT:
                await self._answer(stream)
        elif kind == _RST:
            self._requests.pop(stream, None)
        elif kind == _SETTINGS and not flags & _ACK:
            await self._wire.write(frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            await self._wire.write(frame(_PING, _ACK, 0, payload))
        # Decoded even after our GOAWAY: skipping a block would corrupt the compression state.
        if kind in (_HEADERS, _CONTINUATION) and flags & _END_HEADERS and self._block is not None:
            stream, is_whole, block = self._block
            self._block = None
            headers = tuple(
                (bytes(name), bytes(value)) for name, value in self._decoder.decode(bytes(block), raw=True)
            )
            if stream <= self._final:
                self._requests[stream] = (headers, bytearray())
                if is_whole:
                    await self._answer(stream)

    async def _answer(self, stream: int) -> None:
        headers, body = self._requests.pop(stream)
        given = dict(headers)
        reply = self._front.answer(
            given.get(b":method", b""),
            given.get(b":path", b""),
            given.get(b"authorization", b""),
            headers,
            bytes(body),
        )
        before, self._last = self._last, max(self._last, stream)
        if reply.then is None:
            await self._wire.write(self._head(stream, reply) + self._body(stream, reply))
        else:
            await self._misfortune(stream, reply, reply.then, before)

    def _head(self, stream: int, reply: Reply, more: Headers = ()) -> bytes:
        pairs = [
            (b":status", str(reply.status).encode()),
            (b"content-type", reply.content_type),
            *reply.headers,
            *more,
        ]
        if reply.retry_after:
            pairs.append((b"retry-after", reply.retry_after))
        block = plain_block(pairs)
        chunks = [block[i : i + _FRAME] for i in range(0, len(block), _FRAME)]
        kinds = [_HEADERS, *[_CONTINUATION] * (len(chunks) - 1)]
        flags = [*[0] * (len(chunks) - 1), _END_HEADERS]
        return b"".join(
            frame(kind, flag, stream, chunk) for kind, flag, chunk in zip(kinds, flags, chunks, strict=True)
        )

    @staticmethod
    def _body(stream: int, reply: Reply) -> bytes:
        return frame(_DATA, _END_STREAM, stream, reply.body)

    async def _goaway(self, last: int, code: int = 0) -> None:
        await self._wire.write(frame(_GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big")))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _misfortune(self, stream: int, reply: Reply, then: Then, before: int) -> None:
        wire = self._wire
        if then.silent:
            return
        if then.reset in ("before", "after"):
            wire.reset()
            raise Ended
        if then.reset in ("body", "cut"):
            whole = self._body(stream, reply)
            await wire.write(self._head(stream, reply) + whole[: 9 + len(reply.body) // 2])
            await self._end(abruptly=then.reset == "body")
        if then.rst or then.refuse:
            await wire.write(frame(_RST, 0, stream, _CODES[then.rst or "REFUSED_STREAM"].to_bytes(4, "big")))
        elif then.goaway:
            await self._farewell(stream, reply, then, before)
        elif then.header_bytes:
            await wire.write(
                self._head(stream, reply, ((b"x-filler", b"x" * then.header_bytes),))
                + self._body(stream, reply)
            )
        elif then.garbage:  # not a number as status, then an index that no table has
            await wire.write(
                frame(_HEADERS, _END_HEADERS, stream, plain_block([(b":status", b"2xx")]))
                + frame(_HEADERS, _END_HEADERS, stream, b"\xff" * 7)
            )
        elif then.drip:
            self._start(self._drip(stream, reply))
        else:
            self._start(self._reply_later(stream, reply, then.delay_s))

    async def _farewell(self, stream: int, reply: Reply, then: Then, before: int) -> None:
        # RFC 9113, 6.8: first a warning, then, once nothing more comes, the truth.
        if then.goaway == "graceful":
            await self._goaway(_LAST_POSSIBLE)
            await self._wire.write(self._head(stream, reply) + self._body(stream, reply))
            return
        self._final = before if then.goaway is True else stream
        self._last = self._final
        self._requests = {
            number: request for number, request in self._requests.items() if number <= self._final
        }
        await self._goaway(self._final)
        if then.goaway == "after":
            await self._wire.write(self._head(stream, reply) + self._body(stream, reply))
        elif then.goaway == "lost":
            await self._end(abruptly=False)

    async def _end(self, *, abruptly: bool) -> None:
        if abruptly:
            # A RST overtakes bytes that the peer has not read yet, so it gets time to read the first half.
            await asyncio.sleep(0.05)
            self._wire.reset()
        else:
            await self._wire.hang_up()
        raise Ended

    async def _reply_later(self, stream: int, reply: Reply, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        with contextlib.suppress(Ended):
            await self._wire.write(self._head(stream, reply) + self._body(stream, reply))

    async def _drip(self, stream: int, reply: Reply) -> None:
        try:
            await self._wire.write(self._head(stream, reply))
            for position in range(len(reply.body)):
                is_last = position == len(reply.body) - 1
                await self._wire.write(
                    frame(_DATA, _END_STREAM if is_last else 0, stream, reply.body[position : position + 1])
                )
                await asyncio.sleep(_DRIP_S)
        except Ended:
            pass


class _Http1:
    """One HTTP/1.1 connection: one request after the other."""

    def __init__(self, wire: Wire, front: Front) -> None:
        self._wire, self._front = wire, front

    async def run(self) -> None:
        """Answer until the connection ends. Raises: Ended, ValueError."""
        while True:
            first, *lines = (await self._wire.until(b"\r\n\r\n", 1 << 16))[:-4].split(b"\r\n")
            pairs = (line.partition(b":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            method, path, _ = first.split(b" ")
            size = int(headers.get(b"content-length", b"0"))
            if not 0 <= size <= _BODY_LIMIT:
                raise Ended
            body = await self._wire.exactly(size)
            reply = self._front.answer(
                method, path, headers.get(b"authorization", b""), tuple(headers.items()), body
            )
            await self._deliver(reply, reply.then or Then())

    async def _deliver(self, reply: Reply, then: Then) -> None:
        wire = self._wire
        more = [(b"retry-after", reply.retry_after)] if reply.retry_after else []
        if then.header_bytes:
            more.append((b"x-filler", b"x" * then.header_bytes))
        lines = [
            (b"content-type", reply.content_type),
            (b"content-length", str(len(reply.body)).encode()),
            *reply.headers,
            *more,
        ]
        data = (
            b"HTTP/1.1 %d -\r\n" % reply.status
            + b"".join(b"%b: %b\r\n" % pair for pair in lines)
            + b"\r\n"
            + reply.body
        )
        if then.silent:
            await asyncio.sleep(3600)
        elif then.reset in ("before", "after") or then.refuse or then.goaway is True:
            wire.reset()
            raise Ended
        elif then.reset or then.rst or then.goaway:  # half a head is not an answer
            await wire.write(data[:12])
            await asyncio.sleep(0.05)
            if then.reset != "cut":
                wire.reset()
            await wire.hang_up()
            raise Ended
        elif then.garbage:
            await wire.write(b"HTTP/2 twohundred\x00\r\n\r\n")
            await wire.hang_up()
            raise Ended
        elif then.drip:
            for position in range(len(data)):
                await wire.write(data[position : position + 1])
                await asyncio.sleep(_DRIP_S)
        else:
            await asyncio.sleep(then.delay_s)
            await wire.write(data)

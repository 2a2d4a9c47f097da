"""A short way for plain POSTs: parsed, answered and logged without a framework between.

A uvicorn protocol. Surprise: whatever is not plain takes the framework's way, to the same functions with the
same answers: another path, a key that is not remembered, a body without a length or over its limit, HTTP/1.0,
`Expect`, `Connection: close`, a request before the last one is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_CLOSE = b"connection: close\r\n"


class JsonReply(NamedTuple):
    """An answer in JSON; the headers are those beside its type and length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


Answering = Callable[[bytes], Awaitable[JsonReply]]


class ShortWay(Protocol):
    """The application, as far as a protocol asks it."""

    def admitted(self, path: bytes, authorization: str, length: int) -> Answering | None:
        """Return what answers a body of so many bytes; None leaves it to the framework."""


class ShortCycle:
    """A request under way, as uvicorn's own code asks for it on closing connections."""

    __slots__ = ("answering", "disconnected", "keep_alive", "message_event", "parts", "response_complete")

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.parts: list[bytes] = []
        self.disconnected = self.response_complete = False
        self.keep_alive = True
        self.message_event = _NOBODY_WAITS


class _NobodyWaits:
    def set(self) -> None:
        """Wake nobody."""


_NOBODY_WAITS = _NobodyWaits()


def short_protocol(way: ShortWay) -> type[HttpToolsProtocol]:
    """Return the protocol of an application that has a short way."""
    return type("ShortProtocol", (ShortWayProtocol,), {"way": way})


class ShortWayProtocol(HttpToolsProtocol):
    """A connection, most of whose requests are plain POSTs."""

    way: ShortWay
    # The request being read, if it takes the short way; the one being answered may be an earlier one.
    _reading: ShortCycle | None = None

    def on_message_begin(self) -> None:
        """Begin a request; what the framework wants of it is made once it goes there."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Choose the way of a request."""
        self._reading = cycle = self._short_cycle()
        if cycle is not None:
            self.cycle = cycle  # type: ignore[assignment]
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the list that the new scope holds
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self._reading is None:
            super().on_body(body)
        else:
            self._reading.parts.append(body)

    def on_message_complete(self) -> None:
        """Answer a request that is read whole."""
        cycle, self._reading = self._reading, None
        if cycle is None:
            super().on_message_complete()
            return
        task = self.loop.create_task(self._answer(cycle))
        self.tasks.add(task)  # a server that ends waits for these
        task.add_done_callback(self.tasks.discard)

    def _short_cycle(self) -> ShortCycle | None:
        parser, earlier = self.parser, self.cycle
        if parser.get_method() != b"POST" or (earlier is not None and not earlier.response_complete):
            return None
        if self.expect_100_continue or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        length, authorization = -1, b""
        for name, value in self.headers:
            if name == b"content-length" and value.isdigit():
                length = int(value)
            elif name == b"authorization":
                authorization = value
            elif name in (b"transfer-encoding", b"upgrade"):
                return None
        if length < 0:
            return None
        answering = self.way.admitted(self.url, authorization.decode("latin-1"), length)
        return None if answering is None else ShortCycle(answering)

    async def _answer(self, cycle: ShortCycle) -> None:
        reply = await cycle.answering(b"".join(cycle.parts))
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if not (cycle.disconnected or self.transport.is_closing()):
            self.transport.write(self._written(reply, cycle.keep_alive))
        cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _written(self, reply: JsonReply, keep_alive: bool) -> bytes:
        out = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            out += [name, b": ", value, b"\r\n"]
        out.append(b"content-length: %d\r\ncontent-type: application/json\r\n" % len(reply.body))
        if not keep_alive:
            out.append(_CLOSE)
        out += [b"\r\n", reply.body]
        return b"".join(out)


def reply_of(status: int, body: bytes, raw_headers: Iterable[tuple[bytes, bytes]]) -> JsonReply:
    """Return a framework's answer as one of ours."""
    own = (pair for pair in raw_headers if pair[0] not in (b"content-length", b"content-type"))
    return JsonReply(status, body, tuple(own))

"""Frames: parsed whole, bounded, and answered as RFC 9113 asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from angelia.transport import http2
from angelia.transport.header_blocks import Headers, plain_block
from angelia.transport.http2 import Http2Protocol, frame, settings
from tests.unit.transport.given import Pipe

HEAD = plain_block([(b":status", b"200")])


class Side(Http2Protocol):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[Any, ...]] = []

    def hello(self) -> bytes:
        return b""

    def on_headers(self, stream: int, headers: Headers, ended: bool) -> None:
        self.heard.append((stream, headers, ended))

    def on_data(self, stream: int, payload: bytes, ended: bool) -> None:
        self.heard.append((stream, payload, ended))


def talk(use: Callable[[Side, Pipe], None]) -> tuple[Side, Pipe]:
    async def main() -> tuple[Side, Pipe]:
        side, pipe = Side(), Pipe()
        side.connection_made(pipe)  # type: ignore[arg-type]
        side.flush()
        pipe.written.clear()
        use(side, pipe)
        side.flush()
        return side, pipe

    return asyncio.run(main())


def test_a_frame_arrives_in_any_pieces() -> None:
    data = frame(http2.HEADERS, http2.END_HEADERS, 1, HEAD) + frame(http2.DATA, http2.END_STREAM, 1, b"body")

    def drip(side: Side, _: Pipe) -> None:
        for byte in data:
            side.data_received(bytes([byte]))

    assert talk(drip)[0].heard == [(1, ((b":status", b"200"),), False), (1, b"body", True)]


def test_a_header_block_may_span_frames_and_have_padding() -> None:
    padded = bytes([3]) + HEAD[:4] + bytes(3)
    data = frame(http2.HEADERS, http2.PADDED | http2.END_STREAM, 1, padded)
    data += frame(http2.CONTINUATION, http2.END_HEADERS, 1, HEAD[4:])
    assert talk(lambda side, _: side.data_received(data))[0].heard == [(1, ((b":status", b"200"),), True)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00\x40\x01" + bytes(6), http2.FRAME_SIZE_ERROR),
        (frame(http2.HEADERS, http2.END_HEADERS, 0, HEAD), http2.PROTOCOL_ERROR),
        (frame(http2.CONTINUATION, 0, 1, HEAD), http2.PROTOCOL_ERROR),
        (frame(http2.HEADERS, 0, 1, HEAD) + frame(http2.PING, 0, 0, bytes(8)), http2.PROTOCOL_ERROR),
        (frame(http2.PUSH_PROMISE, 0, 1, b""), http2.PROTOCOL_ERROR),
        (frame(http2.WINDOW_UPDATE, 0, 0, b"123"), http2.FRAME_SIZE_ERROR),
        (frame(http2.SETTINGS, 0, 0, b"12345"), http2.FRAME_SIZE_ERROR),
        (frame(http2.DATA, http2.PADDED, 1, bytes([4]) + b"abc"), http2.PROTOCOL_ERROR),
        (settings({http2.SETTINGS_INITIAL_WINDOW_SIZE: 1 << 31}), http2.FLOW_CONTROL_ERROR),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection(data: bytes, code: int) -> None:
    side, pipe = talk(lambda side, _: side.data_received(data))
    assert pipe.closed
    assert bytes(pipe.written).endswith(frame(http2.GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big")))
    assert side.heard == []


def test_endless_continuations_are_bounded() -> None:
    def flood(side: Side, _: Pipe) -> None:
        side.data_received(frame(http2.HEADERS, 0, 1, HEAD))
        for _ in range(5):
            side.data_received(frame(http2.CONTINUATION, 0, 1, bytes(16_384)))

    _, pipe = talk(flood)
    assert bytes(pipe.written).endswith(http2.ENHANCE_YOUR_CALM.to_bytes(4, "big"))


def test_a_ping_comes_back_and_an_answer_to_ours_does_not() -> None:
    def ping(side: Side, _: Pipe) -> None:
        side.data_received(frame(http2.PING, 0, 0, b"12345678"))
        side.data_received(frame(http2.PING, http2.ACK, 0, b"87654321"))

    assert bytes(talk(ping)[1].written) == frame(http2.PING, http2.ACK, 0, b"12345678")


def test_a_body_waits_for_the_peers_window() -> None:
    def send(side: Side, pipe: Pipe) -> None:
        side.data_received(settings({http2.SETTINGS_INITIAL_WINDOW_SIZE: 4}))
        side.flush()
        pipe.written.clear()
        side.head_and_body(1, HEAD, b"123456")
        side.flush()
        assert bytes(pipe.written).endswith(frame(http2.DATA, 0, 1, b"1234"))
        side.data_received(frame(http2.WINDOW_UPDATE, 0, 1, (9).to_bytes(4, "big")))

    side, pipe = talk(send)
    assert bytes(pipe.written).endswith(frame(http2.DATA, http2.END_STREAM, 1, b"56"))
    assert side.unsent == {}

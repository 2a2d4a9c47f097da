"""A connection's streams: each is answered once, and what its end says of the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from angelia.errors import InvalidInput
from angelia.transport import http2
from angelia.transport.connection import Connection, Stream
from angelia.transport.header_blocks import plain_block
from angelia.transport.http2 import frame, settings
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request
from tests.unit.transport.given import Pipe

REQUEST = Request(b"/x", (), b"{}")


def talk(use: Callable[[Connection, Pipe, list[Any]], None], n: int = 3) -> tuple[list[Any], Connection]:
    """Send n requests over a connection, use it, and return the answers as (number, answer)."""

    async def main() -> tuple[list[Any], Connection]:
        connection, pipe = Connection(b"h", b"https", lambda _: None), Pipe()
        answers: list[Any] = []
        connection.connection_made(pipe)  # type: ignore[arg-type]
        connection.data_received(settings({http2.SETTINGS_MAX_CONCURRENT_STREAMS: 4}))
        for number in range(n):
            done = Stream(lambda tag, answer: answers.append((tag, answer)), number, 100.0 + number)
            connection.send(REQUEST, b"Bearer t", done)
        connection.flush()
        use(connection, pipe, answers)
        return answers, connection

    return asyncio.run(main())


def head(stream: int, status: bytes = b"200", flags: int = 5) -> bytes:
    return frame(http2.HEADERS, flags, stream, plain_block([(b":status", status)]))


def test_there_is_room_for_as_many_streams_as_the_peer_allows() -> None:
    rooms: list[int] = []

    def use(connection: Connection, _: Pipe, __: list[Any]) -> None:
        rooms.append(connection.room)
        connection.data_received(head(1))
        rooms.append(connection.room)
        connection.on_goaway(99, 0)
        rooms.append(connection.room)

    talk(use)
    assert rooms == [1, 2, 0]


def test_an_informational_head_and_trailers_are_no_answer() -> None:
    def use(connection: Connection, _: Pipe, answers: list[Any]) -> None:
        connection.data_received(head(1, b"100", 4))
        connection.data_received(head(1, b"404", 4) + frame(http2.DATA, 0, 1, b"no"))
        assert answers == []
        connection.data_received(frame(http2.HEADERS, 5, 1, plain_block([(b"grpc-status", b"0")])))

    ((number, answer),), _ = talk(use)
    assert (number, answer.status, answer.body, answer.failure) == (0, 404, b"no", None)


@pytest.mark.parametrize(
    ("end", "failures"),
    [
        (lambda connection: connection.on_reset(3, http2.REFUSED_STREAM), {1: NOT_SENT}),
        (lambda connection: connection.on_reset(3, http2.CANCEL), {1: UNKNOWN}),
        (lambda connection: connection.on_goaway(3, 0), {2: NOT_SENT}),
        (lambda connection: connection.connection_lost(None), {0: UNKNOWN, 1: UNKNOWN, 2: UNKNOWN}),
        (lambda connection: connection.sweep(100.5), {0: UNKNOWN}),
    ],
)
def test_each_end_says_whether_the_request_was_seen(
    end: Callable[[Connection], None], failures: dict[int, str]
) -> None:
    answers, _ = talk(lambda connection, _, __: end(connection))
    assert {number: answer.failure for number, answer in answers} == failures


def test_what_had_not_left_when_the_connection_went_was_not_sent() -> None:
    def use(connection: Connection, _: Pipe, answers: list[Any]) -> None:
        connection.send(REQUEST, b"", Stream(lambda tag, answer: answers.append((tag, answer)), 9, 200.0))
        connection.connection_lost(None)

    answers, _ = talk(use, n=1)
    assert {number: answer.failure for number, answer in answers} == {0: UNKNOWN, 9: NOT_SENT}


def test_an_answer_beyond_a_mebibyte_is_given_up() -> None:
    def use(connection: Connection, _: Pipe, __: list[Any]) -> None:
        connection.data_received(head(1, b"200", 4))
        for _ in range(65):
            connection.data_received(frame(http2.DATA, 0, 1, bytes(16_384)))

    ((_, answer),), _ = talk(use)
    assert isinstance(answer, Answer)
    assert (answer.failure, answer.detail) == (UNKNOWN, "answer longer than 1 MiB")


def test_headers_longer_than_a_frame_are_refused() -> None:
    def use(connection: Connection, _: Pipe, __: list[Any]) -> None:
        long = REQUEST._replace(extra=((b"x", b"y" * 16_384),))
        with pytest.raises(InvalidInput, match="longer than one HTTP/2 frame"):
            connection.send(long, b"", Stream(lambda *_: None, 9, 200.0))

    talk(use)

"""Whatever bytes a server sends, every request is answered exactly once.

They come in whatever pieces, and nothing is raised into the event loop.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest

from angelia.transport import http2
from angelia.transport.client import Http2Client
from angelia.transport.connection import Connection
from angelia.transport.header_blocks import plain_block
from angelia.transport.http2 import frame
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request
from tests.unit.transport.given import Pipe

CASES, STREAMS = int((os.environ.get("ANGELIA_SOAK") and 5000) or 300), 6


def some_frames(draw: random.Random) -> bytes:
    """Return a few frames, most of them plausible."""
    out = bytearray()
    for _ in range(draw.randrange(1, 12)):
        stream = draw.choice((0, 1, 3, 5, 7, 9, 11, 13, 2, 1 << 30))
        status = draw.choice((b"200", b"503", b"2xx", b"", b"\xff", b"99999999999", b"100"))
        block = draw.choice(
            (
                plain_block(((b":status", status),)),
                plain_block(((b"x", b"y"),)),
                draw.randbytes(draw.randrange(20)),
                b"",
                b"\x88",
            )
        )
        kind = draw.choice((*range(10), 0, 1, 1, 1, 9, 77))
        payload = block if kind in (1, 9) else draw.randbytes(draw.choice((0, 1, 4, 6, 8, 12, 30)))
        out += frame(kind, draw.choice((0, 1, 4, 5, 8, 0x20, 0x2D, 255)), stream, payload)
    return bytes(out)


def mangled(draw: random.Random, data: bytes) -> bytes:
    """Flip, cut or insert bytes, sometimes."""
    out = bytearray(data)
    for _ in range(draw.choice((0, 0, 1, 3))):
        at = draw.randrange(len(out) + 1)
        how = draw.randrange(3)
        if how == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            del out[at : at + draw.randrange(1, 9)]
        else:
            out[at:at] = draw.randbytes(draw.randrange(1, 9))
    return bytes(out)


def test_every_request_is_answered_once_whatever_the_server_says() -> None:
    draw = random.Random(2026)

    async def answers_of_one_connection() -> list[Answer]:
        connection = Connection(b"h", b"https", lambda _: None, 10.0)
        pipe = Pipe()
        connection.connection_made(pipe)  # type: ignore[arg-type]
        connection.data_received(http2.settings({http2.SETTINGS_MAX_CONCURRENT_STREAMS: 10}))
        answers: dict[int, list[Answer]] = {n: [] for n in range(STREAMS)}
        client = Http2Client("http://h")
        client._connections.append(connection)
        for n in range(STREAMS):
            client.submit(Request(b"/x", (), b"{}"), b"", lambda tag, answer: answers[tag].append(answer), n)
        connection.flush()
        data = mangled(draw, some_frames(draw))
        while data and not pipe.closed:
            size = draw.randrange(1, len(data) + 1)
            connection.data_received(data[:size])
            data = data[size:]
        connection.sweep(1e12)
        connection.connection_lost(None)
        if client._sweeper is not None:
            client._sweeper.cancel()
        assert {len(given) for given in answers.values()} == {1}
        return [given[0] for given in answers.values()]

    async def main() -> list[Answer]:
        return [answer for _ in range(CASES) for answer in await answers_of_one_connection()]

    answers = asyncio.run(main())
    assert len(answers) == CASES * STREAMS
    assert {answer.failure for answer in answers} == {None, NOT_SENT, UNKNOWN}
    statuses = {answer.status for answer in answers if answer.failure is None}
    assert 200 in statuses
    assert all(100 <= status <= 999 for status in statuses)


def talk(use: Any) -> Any:
    """Run `use(connection, pipe, client)` with a connection that is ready."""

    async def main() -> Any:
        client = Http2Client("http://h", timeout_s=5.0)
        connection = Connection(b"h", b"https", client._on_room, client.timeout_s)
        pipe = Pipe()
        connection.connection_made(pipe)  # type: ignore[arg-type]
        client._connections.append(connection)
        try:
            return await use(connection, pipe, client)
        finally:
            if client._sweeper is not None:
                client._sweeper.cancel()
            for task in client._opening:
                task.cancel()

    return asyncio.run(main())


def test_a_connection_that_broke_the_protocol_takes_nothing_new() -> None:
    """What is handed to it afterwards would never leave, and be called unknown."""

    async def use(connection: Connection, pipe: Pipe, client: Http2Client) -> list[Answer]:
        connection.data_received(http2.settings({}))
        answers: list[Answer] = []
        connection.data_received(frame(http2.PUSH_PROMISE, 0, 1, b""))
        assert pipe.closed
        client.submit(Request(b"/x", (), b"{}"), b"", lambda _, answer: answers.append(answer), 0)
        assert not connection.streams
        connection.data_received(frame(http2.HEADERS, 5, 1, plain_block(((b":status", b"200"),))))
        connection.connection_lost(None)
        return answers

    assert talk(use) == []  # it waits for another connection


@pytest.mark.parametrize("paused_s", [0.0, 6.0])
def test_a_paused_worker_sends_nothing_checked_long_ago(
    paused_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP between check and write: what waited leaves within the timeout or never.

    That holds for what was queued, and for what waited for a connection.
    """

    async def use(connection: Connection, pipe: Pipe, client: Http2Client) -> tuple[list[Answer], int]:
        answers: list[Answer] = []
        loop = asyncio.get_running_loop()
        real = loop.time
        # The server has sent nothing yet.
        client.submit(Request(b"/waits", (), b"{}"), b"", lambda _, answer: answers.append(answer), 0)
        monkeypatch.setattr(loop, "time", lambda: real() + paused_s)
        connection.data_received(http2.settings({}))
        connection.flush()
        before = len(pipe.written)
        monkeypatch.setattr(loop, "time", real)
        client.submit(Request(b"/queued", (), b"{}"), b"", lambda _, answer: answers.append(answer), 1)
        monkeypatch.setattr(loop, "time", lambda: real() + paused_s)
        connection.flush()
        sent = len(pipe.written) - before
        connection.connection_lost(None)
        monkeypatch.setattr(loop, "time", real)
        return answers, sent

    answers, sent = talk(use)
    if paused_s:
        assert [answer.failure for answer in answers] == [NOT_SENT, NOT_SENT]
        assert sent == 0
    else:
        assert [answer.failure for answer in answers] == [UNKNOWN, UNKNOWN]
        assert sent > 0

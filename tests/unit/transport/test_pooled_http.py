"""What a broken exchange of HTTP/1.1 says: not sent, or unknown; and where a token travels."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from angelia.transport.pooled_http import FORM, HEADER, QUERY, PooledHttp, TokenPlace
from angelia.transport.wire import NOT_SENT, UNKNOWN, Answer, Request

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = Request(b"/send?a=1", ((b"content-type", b"text/plain"),), b"hello", ((b"x-own", b"1"),))


def exchange(
    handler: Handler, token: bytes = b"", place: TokenPlace = TokenPlace(), n: int = 1
) -> list[Answer]:
    async def main() -> list[Answer]:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = PooledHttp(f"http://127.0.0.1:{port}", 0.5, token=place)
        answers = [await client.exchange(REQUEST, token) for _ in range(n)]
        await client.close()
        server.close()
        await asyncio.sleep(0.05)  # lets the server's side of the connections end
        return answers

    return asyncio.run(main())


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"hello")
    name = writer.get_extra_info("socket")
    name.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"hello")
    writer.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"hello")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000)
    with suppress(ConnectionError):
        await reader.read()
    writer.transport.abort()


@pytest.mark.parametrize("handler", [reset, end, silent, endless])
def test_what_breaks_after_the_request_left_is_unknown(handler: Handler) -> None:
    (answer,) = exchange(handler)
    assert (answer.status, answer.failure) == (0, UNKNOWN)


def test_what_never_connects_is_not_sent() -> None:
    async def main() -> list[Answer]:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))  # bound, and nobody listens
            client = PooledHttp(f"http://127.0.0.1:{held.getsockname()[1]}", 0.5)
            refused = await client.exchange(REQUEST, b"")
            await client.close()
            unknown = PooledHttp("https://nowhere.invalid", 0.5)
            answers = [refused, await unknown.exchange(REQUEST, b"")]
            await unknown.close()
            return answers

    answers = asyncio.run(main())
    assert [answer.failure for answer in answers] == [NOT_SENT, NOT_SENT]
    assert not any("nowhere" in answer.detail for answer in answers)


@pytest.mark.parametrize(
    ("place", "line", "header", "tail"),
    [
        (TokenPlace(), b"POST /send?a=1 ", b"\r\nauthorization: key=t1", b""),
        (TokenPlace(HEADER, "authtoken"), b"POST /send?a=1 ", b"\r\nauthtoken: key=t1", b""),
        (TokenPlace(QUERY, "access_token"), b"POST /send?a=1&access_token=key=t1 ", b"", b""),
        (TokenPlace(FORM, "auth_token"), b"POST /send?a=1 ", b"", b"&auth_token=key%3Dt1"),
    ],
)
def test_a_token_travels_in_its_one_place(place: TokenPlace, line: bytes, header: bytes, tail: bytes) -> None:
    heads: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await reader.readuntil(b"hello"))
            assert await reader.readexactly(len(tail)) == tail
            writer.write(b"HTTP/1.1 302 Moved\r\nlocation: /other\r\nX-Id: 7\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    answers = exchange(keep, b"key=t1", place, n=2)
    assert [(answer.status, answer.body, answer.header(b"x-id")) for answer in answers] == [
        (302, b"ok", "7")
    ] * 2
    assert len(heads) == 2, "one connection, and no redirect is followed"
    for head in heads:
        assert head.startswith(line)
        assert (b"key" in head.lower()) == (not tail)
        assert header.lower() in head.lower()
        assert f"content-length: {5 + len(tail)}".encode() in head.lower()
        assert b"x-own: 1" in head


@pytest.mark.parametrize("request_", [REQUEST._replace(path="/\xe4".encode()), REQUEST._replace(body=None)])
def test_what_cannot_be_written_is_answered(request_: Request, caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Answer] = []

    async def main() -> None:
        client = PooledHttp("http://127.0.0.1:1", 0.5, token=TokenPlace(FORM, "token"))
        client.submit(request_, b"secret", lambda _, answer: taken.append(answer), None)
        await asyncio.sleep(0.05)
        await client.close()

    asyncio.run(main())
    assert [answer.failure for answer in taken] == [NOT_SENT]
    assert "secret" not in caplog.text


def test_a_client_that_closes_answers_what_is_under_way() -> None:
    taken: list[Answer] = []

    async def main() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        client = PooledHttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 5.0)
        client.submit(REQUEST, b"", lambda _, answer: taken.append(answer), None)
        await asyncio.sleep(0.1)
        await client.close()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert [answer.failure for answer in taken] == [UNKNOWN]

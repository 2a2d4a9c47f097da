"""Our HTTP/2 client against a server made of `h2`, the reference implementation.

What it sends is valid, and each failure has its right name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from angelia.errors import InvalidInput
from angelia.transport.client import Http2Client
from angelia.transport.wire import Answer, Request

Act = Callable[["Reference", int, bytes, dict[bytes, bytes]], None]


class Reference(asyncio.Protocol):
    """A server on h2; `act` decides what happens to a whole request."""

    def __init__(self, act: Act, changes: dict[Any, int]) -> None:
        self.act, self.changes = act, changes
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self.bodies: dict[int, bytearray] = {}
        self.heads: dict[int, dict[bytes, bytes]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=self.changes)
        self.connection.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):  # raises on anything the protocol forbids
            if isinstance(event, h2.events.RequestReceived):
                self.heads[event.stream_id], self.bodies[event.stream_id] = dict(event.headers), bytearray()
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.act(
                    self,
                    event.stream_id,
                    bytes(self.bodies.pop(event.stream_id)),
                    self.heads[event.stream_id],
                )
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.connection.data_to_send())

    def reply(self, stream: int, body: bytes, status: bytes = b"200") -> None:
        self.connection.send_headers(
            stream, [(b":status", status), (b"x-a", b"b" * 40), (b"retry-after", b"7")]
        )
        self.connection.send_data(stream, body, end_stream=True)


def echo(server: Reference, stream: int, body: bytes, head: dict[bytes, bytes]) -> None:
    server.reply(
        stream,
        head[b":path"]
        + b"|"
        + head.get(b"authorization", b"")
        + b"|"
        + head.get(b"x-one", b"")
        + b"|"
        + body[:20],
    )


async def talk(
    act: Act, bodies: list[bytes], *, changes: dict[Any, int] | None = None, extra: Any = (), **options: Any
) -> list[Answer]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Reference(act, changes or {}), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Http2Client(f"http://127.0.0.1:{port}", **{"timeout_s": 5.0, "connections": 1, **options})
    answers: dict[int, Answer] = {}
    everything = asyncio.Event()

    def done(tag: int, answer: Answer) -> None:
        assert tag not in answers
        answers[tag] = answer
        if len(answers) == len(bodies):
            everything.set()

    for tag, body in enumerate(bodies):
        client.submit(
            Request(b"/v1/x", ((b"content-type", b"application/json"),), body, extra), b"Bearer t", done, tag
        )
    async with asyncio.timeout(20):
        await everything.wait()
    await client.close()
    server.close()
    await server.wait_closed()
    return [answers[tag] for tag in range(len(bodies))]


def test_many_requests_each_get_their_own_answer() -> None:
    bodies = [b'{"n":%d}' % n for n in range(700)]
    answers = asyncio.run(talk(echo, bodies, extra=((b"x-one", b"1"),), connections=2))
    assert [answer.body for answer in answers] == [b"/v1/x|Bearer t|1|" + body for body in bodies]
    assert {answer.status for answer in answers} == {200}
    assert answers[0].header(b"retry-after") == "7"


@pytest.mark.parametrize("table", [0, 64, 4096])
def test_it_obeys_the_peers_settings(table: int) -> None:
    codes = h2.settings.SettingCodes
    changes = {
        codes.HEADER_TABLE_SIZE: table,
        codes.MAX_CONCURRENT_STREAMS: 3,
        codes.INITIAL_WINDOW_SIZE: 100,
    }
    answers = asyncio.run(
        talk(echo, [b"x" * size for size in (0, 99, 100, 101, 5000, 70_000)] * 4, changes=changes)
    )
    assert {answer.status for answer in answers} == {200}


def test_bodies_larger_than_every_window_arrive_whole() -> None:
    def measure(server: Reference, stream: int, body: bytes, head: dict[bytes, bytes]) -> None:
        server.reply(stream, str(len(body)).encode())

    answers = asyncio.run(talk(measure, [b"x" * 300_000, b"y" * 200_000, b"z"]))
    assert [answer.body for answer in answers] == [b"300000", b"200000", b"1"]


def test_only_a_refused_stream_was_surely_not_sent() -> None:
    def act(server: Reference, stream: int, body: bytes, head: dict[bytes, bytes]) -> None:
        server.connection.reset_stream(stream, error_code=7 if body == b"refuse" else 2)

    answers = asyncio.run(talk(act, [b"refuse", b"break"]))
    assert [answer.failure for answer in answers] == ["not_sent", "unknown"]


def test_goaway_leaves_later_streams_unsent() -> None:
    streams: list[int] = []

    def act(server: Reference, stream: int, body: bytes, head: dict[bytes, bytes]) -> None:
        streams.append(stream)
        if len(streams) == 3:
            server.flush()
            server.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + streams[0].to_bytes(4, "big") + bytes(4))
            server.reply(streams[0], b"{}")

    answers = asyncio.run(talk(act, [b"0", b"1", b"2"]))
    assert answers[0].status == 200
    assert [answer.failure for answer in answers[1:]] == ["not_sent", "not_sent"]


def test_after_goaway_a_new_connection_takes_over() -> None:
    served = []

    def act(server: Reference, stream: int, body: bytes, head: dict[bytes, bytes]) -> None:
        server.reply(stream, b"{}")
        served.append(server)
        if served.count(server) == 5:
            server.flush()
            server.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + stream.to_bytes(4, "big") + bytes(4))

    answers = asyncio.run(
        talk(act, [b"x"] * 20, changes={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    )
    # A request that crossed the GOAWAY on its way is `not_sent`; all others are answered, by one connection
    # after the other.
    assert {answer.failure for answer in answers} <= {None, "not_sent"}
    assert sum(answer.status == 200 for answer in answers) == len(served) >= 16
    assert len(set(served)) >= 3


def test_a_lost_connection_is_unknown() -> None:
    answers = asyncio.run(talk(lambda server, *_: server.transport.abort(), [b"1"]))
    assert answers[0].failure == "unknown"


def test_no_answer_is_unknown_and_nobody_listening_not_sent() -> None:
    assert asyncio.run(talk(lambda *_: None, [b"1", b"2"], timeout_s=0.3))[0].failure == "unknown"

    async def nobody() -> Answer:
        client = Http2Client("http://127.0.0.1:1", timeout_s=0.3)
        try:
            return await client.fetch(Request(b"/", (), b"{}"))
        finally:
            await client.close()

    assert asyncio.run(nobody()).failure == "not_sent"


def test_garbage_from_the_server_ends_the_connection_only() -> None:
    def act(server: Reference, stream: int, body: bytes, head: dict[bytes, bytes]) -> None:
        server.transport.write(b"\x00\x00\x05\x01\x04" + stream.to_bytes(4, "big") + b"\xff\xff\xff\xff\xff")

    assert asyncio.run(talk(act, [b"1"]))[0].failure == "unknown"


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://u:p@host", "https://host?x=1", "host:443"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InvalidInput):
        Http2Client(url)


def test_what_cannot_be_written_is_answered_and_stops_nobody() -> None:
    async def main() -> list[Answer]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Reference(echo, {}), "127.0.0.1", 0)
        client = Http2Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections=1)
        good = Request(b"/v1/x", ((b"content-type", b"text/plain"),), b"good")
        long = good._replace(headers=((b"x-long", b"y" * 20_000),))
        wrong: Any = good._replace(body="text")
        async with asyncio.timeout(10):
            # The first waits for its connection, the others have one.
            answers = [await client.fetch(request) for request in (long, good, long, wrong, good)]
        await client.close()
        server.close()
        await server.wait_closed()
        return answers

    answers = asyncio.run(main())
    assert [answer.failure for answer in answers] == ["not_sent", None, "not_sent", "not_sent", None]


def test_a_host_that_no_name_can_have_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Answer:
        client = Http2Client(f"https://{'a' * 64}.example", timeout_s=0.3)
        answer = await client.fetch(Request(b"/", (), b"{}"))
        await client.close()
        return answer

    answer = asyncio.run(main())
    assert (answer.failure, answer.detail) == ("not_sent", "UnicodeError")
    assert "never retrieved" not in caplog.text

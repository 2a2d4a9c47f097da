"""The load posts what the intake takes, and knows what was answered from what was not."""

from __future__ import annotations

import asyncio
import json

from angelia.intake.message import Draft, parse_batch, parse_message
from benchmarks.messages.load import Load, length_of, request_bytes, run


def body_of(names: list[str]) -> bytes:
    head, _, body = request_bytes("k", names).partition(b"\r\n\r\n")
    assert length_of(head) == len(body)
    return body


def test_bodies_are_messages_with_their_own_keys() -> None:
    drafts = parse_batch(body_of(["a-1", "a-2"]), "bench", 0)
    assert isinstance(drafts, list)
    users = [draft.row["user_id"] for draft in drafts if isinstance(draft, Draft)]
    assert users == ["ua-1", "ua-2"]
    assert json.loads(body_of(["a-1"]))["idempotency_key"] == "a-1"
    assert isinstance(parse_message(body_of(["a-1"]), "bench", 0), Draft)


def test_what_was_sent_and_not_answered_is_unknown() -> None:
    # An answer in two pieces, a refusal, and then a server that hangs up on the third request.
    pieces = [
        [b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n", b'{"id":"x"}'],
        [b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}"],
        [],
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for parts in pieces:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(length_of(head))
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()

    async def main() -> Load:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        load = Load(server.sockets[0].getsockname()[1], "k", 30.0, 1, "p")
        await run(load, 1)
        server.close()
        return load

    seen = asyncio.run(main()).result()
    assert seen["acknowledged"] == [("p-0-0", "x")]
    assert seen["refused"] == {"429": 1}
    assert seen["unknown"] == ["p-0-2"]
    assert len(seen["milliseconds"]) == 2

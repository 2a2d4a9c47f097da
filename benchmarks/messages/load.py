"""The load of `intake`: connections that post, wait for the answer, and post again.

It runs as a process of its own, so that client and server do not share an interpreter:
`python -m benchmarks.messages.load PORT KEY SECONDS CONNECTIONS BATCH PREFIX`. It prints one JSON
object: the milliseconds of each request's answer, what was acknowledged as [key, id], and the refusals by
status. A connection that breaks ends its part of the load; what it had sent and not heard of is listed as
`unknown`.

Surprise: the load shares the machine with the server, so it is as light as it can be: bodies are written by a
form rather than encoded, and answers are read as JSON once the load is over.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, cast

import uvloop

_ITEM = (
    '{"user_id":"uNAME","campaign_id":"cart","class":"transactional","priority":"high",'
    '"variables":{"order":"NAME","total":12.5},"send_at":"2030-01-01T08:00:00Z","idempotency_key":"NAME"}'
)


class Load:
    """What one run of the load saw."""

    def __init__(self, port: int, key: str, seconds: float, batch: int, prefix: str) -> None:
        self.port, self.key, self.batch, self.prefix = port, key, batch, prefix
        self.ends = time.monotonic() + seconds
        self.milliseconds: list[float] = []
        self.answers: list[tuple[list[str], int, bytes]] = []
        self.unknown: list[str] = []

    async def connection(self, number: int) -> None:
        """Post until the time is over or the server is gone."""
        loop = asyncio.get_running_loop()
        try:
            _, posting = await loop.create_connection(lambda: Posting(self, number), "127.0.0.1", self.port)
        except OSError:
            return
        await posting.over

    def result(self) -> dict[str, Any]:
        """Return what was seen, for JSON."""
        acknowledged: list[tuple[str, str]] = []
        refused: dict[str, int] = {}
        for keys, status, body in self.answers:
            if status in (200, 202):
                document = json.loads(body)
                items = document.get("items", [document])
                acknowledged += [(key, item["id"]) for key, item in zip(keys, items, strict=True)]
            else:
                refused[str(status)] = refused.get(str(status), 0) + 1
        seen = {"milliseconds": self.milliseconds, "acknowledged": acknowledged}
        return seen | {"unknown": self.unknown, "refused": refused}


class Posting(asyncio.Protocol):
    """One connection, whose next request follows an answer."""

    def __init__(self, load: Load, number: int) -> None:
        self._load, self._number, self._serial = load, number, 0
        self._keys: list[str] = []
        self._began, self._read = 0.0, b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Post the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._post()

    def data_received(self, data: bytes) -> None:
        """Take an answer that is there whole, and post again."""
        self._read += data
        head, separator, body = self._read.partition(b"\r\n\r\n")
        if not separator or len(body) < length_of(head):
            return
        load = self._load
        load.milliseconds.append(round(1000 * (time.monotonic() - self._began), 2))
        load.answers.append((self._keys, int(head[9:12]), body))
        self._keys, self._read = [], b""
        if time.monotonic() < load.ends:
            self._post()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Note what was sent and is not answered."""
        self._load.unknown += self._keys
        self.over.set_result(None)

    def _post(self) -> None:
        load = self._load
        first, self._serial = self._serial, self._serial + load.batch
        self._keys = [f"{load.prefix}-{self._number}-{serial}" for serial in range(first, self._serial)]
        request = request_bytes(load.key, self._keys)
        self._began = time.monotonic()
        self._transport.write(request)


def request_bytes(key: str, names: list[str]) -> bytes:
    """Return a request for messages with these idempotency keys: a batch, or a single one.

    Args:
        names: of letters, digits and dashes.
    """
    items = ",".join([_ITEM.replace("NAME", name) for name in names])
    path, body = ("/v1/messages", items) if len(names) == 1 else ("/v1/messages:batch", _batch(items))
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _batch(items: str) -> str:
    return f'{{"messages":[{items}]}}'


def length_of(head: bytes) -> int:
    """Return the length that an answer's head says of its body."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of an answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(length_of(head)))


async def run(load: Load, connections: int) -> None:
    """Run all connections to their end."""
    await asyncio.gather(*(load.connection(number) for number in range(connections)))


if __name__ == "__main__":
    port, key, seconds, connections, batch, prefix = sys.argv[1:]
    load = Load(int(port), key, float(seconds), int(batch), prefix)
    uvloop.run(run(load, int(connections)))
    json.dump(load.result(), sys.stdout)

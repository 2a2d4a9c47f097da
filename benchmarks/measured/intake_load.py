"""The load of `intake`: connections that post, wait for the answer, and post again.

It runs as a process of its own, so that client and server do not share an interpreter:
`python -m benchmarks.measured.intake_load PORT KEY SECONDS CONNECTIONS BATCH PREFIX`. It prints one JSON
object: the milliseconds of each request's answer, what was acknowledged as [key, id], and the refusals by
status. A connection that breaks ends its part of the load; what it had sent and not heard of is listed as
`unknown`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


class Load:
    """What one run of the load saw."""

    def __init__(self, port: int, key: str, seconds: float, batch: int, prefix: str) -> None:
        self.port, self.key, self.batch, self.prefix = port, key, batch, prefix
        self.ends = time.monotonic() + seconds
        self.milliseconds: list[float] = []
        self.acknowledged: list[tuple[str, str]] = []
        self.unknown: list[str] = []
        self.refused: dict[str, int] = {}

    async def connection(self, number: int) -> None:
        """Post until the time is over or the server is gone."""
        serial = 0
        keys: list[str] = []
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            while time.monotonic() < self.ends:
                keys = [f"{self.prefix}-{number}-{serial + i}" for i in range(self.batch)]
                serial += self.batch
                began = time.monotonic()
                writer.write(request_bytes(self.key, keys))
                status, document = await read_answer(reader)
                self.milliseconds.append(round(1000 * (time.monotonic() - began), 2))
                if status in (200, 202):
                    items = document.get("items", [document])
                    self.acknowledged += [(key, item["id"]) for key, item in zip(keys, items, strict=True)]
                else:
                    self.refused[str(status)] = self.refused.get(str(status), 0) + 1
                keys = []
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            self.unknown += keys


def request_bytes(key: str, names: list[str]) -> bytes:
    """Return a request for messages with these idempotency keys: a batch, or a single one."""
    items = [
        {
            "user_id": f"u{name}",
            "campaign_id": "cart",
            "class": "transactional",
            "priority": "high",
            "variables": {"order": name, "total": 12.5},
            "send_at": "2030-01-01T08:00:00Z",
            "idempotency_key": name,
        }
        for name in names
    ]
    path, document = (
        ("/v1/messages", items[0]) if len(items) == 1 else ("/v1/messages:batch", {"messages": items})
    )
    body = json.dumps(document).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(length))


async def run(load: Load, connections: int) -> None:
    """Run all connections to their end."""
    await asyncio.gather(*(load.connection(number) for number in range(connections)))


if __name__ == "__main__":
    port, key, seconds, connections, batch, prefix = sys.argv[1:]
    load = Load(int(port), key, float(seconds), int(batch), prefix)
    asyncio.run(run(load, int(connections)))
    json.dump(
        {
            "milliseconds": load.milliseconds,
            "acknowledged": load.acknowledged,
            "unknown": load.unknown,
            "refused": load.refused,
        },
        sys.stdout,
    )

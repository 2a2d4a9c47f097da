"""The load of `receive`: connections that post signed events, one after another.

It runs as a process of its own: `python -m benchmarks.measured.receive_load PORT SECRET SECONDS CONNECTIONS
BATCH PREFIX`. It prints one JSON object: the milliseconds of each request's answer, the prefixes and counts
of acknowledged ids, and the refusals by status. A connection that breaks ends its part of the load.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime

from angelia.delivery.channels.webhook import sign
from benchmarks.messages.load import read_answer


class CallbackLoad:
    """What one run of the load saw."""

    def __init__(self, port: int, secret: str, seconds: float, batch: int, prefix: str) -> None:
        self.port, self.secret, self.batch, self.prefix = port, secret.encode(), batch, prefix
        self.ends = time.monotonic() + seconds
        self.milliseconds: list[float] = []
        self.acknowledged: dict[str, int] = {}  # by connection: so many events, numbered from 0
        self.refused: dict[str, int] = {}

    async def connection(self, number: int) -> None:
        """Post until the time is over or the server is gone."""
        name = f"{self.prefix}-{number}"
        serial = 0
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            while time.monotonic() < self.ends:
                data = request_bytes(self.secret, name, serial, self.batch)
                began = time.monotonic()
                writer.write(data)
                status, _ = await read_answer(reader)
                self.milliseconds.append(round(1000 * (time.monotonic() - began), 2))
                if status != 200:
                    self.refused[str(status)] = self.refused.get(str(status), 0) + 1
                    break
                serial += self.batch
                self.acknowledged[name] = serial
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass


def request_bytes(secret: bytes, name: str, serial: int, batch: int) -> bytes:
    """Return a signed request of so many events."""
    now = datetime.now(UTC)
    stamp, at = str(int(now.timestamp())), now.isoformat()
    events = [
        {"id": f"{name}-{number}", "dispatch_id": f"{number:032x}", "kind": "opened", "at": at}
        for number in range(serial, serial + batch)
    ]
    body = json.dumps({"events": events}).encode()
    message = f"{name}-{serial}"
    head = (
        f"POST /events HTTP/1.1\r\nhost: localhost\r\nwebhook-id: {message}\r\nwebhook-timestamp: {stamp}\r\n"
        f"webhook-signature: {sign(secret, message, stamp, body)}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(load: CallbackLoad, connections: int) -> None:
    """Run all connections to their end."""
    await asyncio.gather(*(load.connection(number) for number in range(connections)))


if __name__ == "__main__":
    port, secret, seconds, connections, batch, prefix = sys.argv[1:]
    load = CallbackLoad(int(port), secret, float(seconds), int(batch), prefix)
    asyncio.run(run(load, int(connections)))
    json.dump(
        {
            "milliseconds": load.milliseconds,
            "acknowledged": load.acknowledged,
            "refused": load.refused,
        },
        sys.stdout,
    )

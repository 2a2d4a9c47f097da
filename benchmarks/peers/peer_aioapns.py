"""aioapns to a sandbox.

Arguments are the base address, the token credentials file and the number of messages.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import ssl
import sys
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol

WINDOW = 200  # requests at once, as ours


async def run(base_url: str, account: dict[str, str], messages: int) -> tuple[int, float]:
    """Send; return messages accepted and CPU seconds."""
    address = urlsplit(base_url)
    # The only change to the library: its address.
    APNsProductionClientProtocol.APNS_SERVER, APNsProductionClientProtocol.APNS_PORT = (
        address.hostname,
        address.port,
    )
    context = ssl.create_default_context()
    client = APNs(
        key=account["private_key"], key_id=account["key_id"], team_id=account["team_id"],
        topic=account["topic"], max_connections=2,
        ssl_context=context,
    )  # fmt: skip
    sent = 0

    def make(number: int) -> NotificationRequest:
        alert = {
            "title": "Price drop: camera",
            "body": f"Hello Ann{number % 997}, your camera costs less today.",
        }
        return NotificationRequest(
            device_token=f"{number:064x}",
            message={"aps": {"alert": alert}, "link": "https://shop.example/sale?c=price_drop"},
            notification_id=f"{number:08x}-0000-4000-8000-000000000000", time_to_live=43_200, priority=5,
            collapse_key="price_drop",
            push_type=PushType.ALERT,
        )  # fmt: skip

    numbers = iter(range(1, messages + 1))

    async def work() -> None:
        nonlocal sent
        for number in numbers:
            answer = await client.send_notification(make(number))
            sent += answer.is_successful

    await client.send_notification(make(0))  # connection and token are not counted
    begin = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(work() for _ in range(WINDOW)))
    end = resource.getrusage(resource.RUSAGE_SELF)
    return sent, end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def main(base_url: str, account: str, messages: int) -> None:
    """Send, and print what it cost this process."""
    logging.disable(logging.CRITICAL)
    sent, cpu = asyncio.run(run(base_url, json.loads(Path(account).read_text()), messages))
    sys.stdout.write(json.dumps({"sent": sent, "cpu_s": cpu, "version": version("aioapns")}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

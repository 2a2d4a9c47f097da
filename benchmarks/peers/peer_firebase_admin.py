"""firebase-admin's send_each_async to a sandbox.

Arguments are the base address, the service account file and the number of messages.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

import firebase_admin
from firebase_admin import credentials, messaging

CHUNK = 500  # the most that send_each_async takes


def main(base_url: str, account: str, messages: int) -> None:
    """Send, and print what it cost this process."""
    service = messaging._MessagingService
    service.FCM_URL = service.FCM_URL.replace("https://fcm.googleapis.com", base_url)  # the one change
    app = firebase_admin.initialize_app(credentials.Certificate(account))

    def make(number: int) -> messaging.Message:
        return messaging.Message(
            token=f"sandbox-{number:08d}-" + "x" * 120,
            notification=messaging.Notification(
                title="Price drop: camera", body=f"Hello Ann{number % 997}, your camera costs less today."
            ),
            data={"dispatch_id": f"{number:032x}", "link": "https://shop.example/sale?c=price_drop"},
            android=messaging.AndroidConfig(collapse_key="price_drop", ttl=43_200, priority="normal"),
            apns=messaging.APNSConfig(headers={"apns-priority": "5", "apns-collapse-id": "price_drop"}),
        )

    async def run() -> int:
        sent = 0
        await messaging.send_each_async([make(0)], app=app)  # connection and token are not counted
        begin.append(resource.getrusage(resource.RUSAGE_SELF))
        for first in range(1, messages + 1, CHUNK):
            answer = await messaging.send_each_async(
                [make(number) for number in range(first, min(first + CHUNK, messages + 1))], app=app
            )
            sent += answer.success_count
        return sent

    begin: list[resource.struct_rusage] = []
    sent = asyncio.run(run())
    end = resource.getrusage(resource.RUSAGE_SELF)
    cpu = end.ru_utime + end.ru_stime - begin[0].ru_utime - begin[0].ru_stime
    sys.stdout.write(json.dumps({"sent": sent, "cpu_s": cpu, "version": firebase_admin.__version__}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

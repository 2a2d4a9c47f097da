"""What delivery's tests start from: a plan's day and hour, answers, log entries, a message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.delivery.channels import mail_format, smtp
from angelia.delivery.channels.base import Message
from angelia.delivery.ledger.ledger import Owner
from angelia.delivery.ledger.outcomes import Outcomes
from angelia.lake import Lake
from angelia.transport.wire import UNKNOWN, Answer

DS, HOUR = "2026-11-14", "2026-11-15T04"
START = datetime(2026, 11, 15, 4, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
OK = Answer(200, b'{"name":"projects/p/messages/1"}')
LOST = Answer(0, failure=UNKNOWN)
ELSEWHERE = Owner("elsewhere", "boot", "ns", 1, "1")
Error = Callable[..., Answer]
MESSAGE = Message(
    "ab" * 32, "ab" * 16, "Price drop: camera", "Hello Ann, it costs less.", None, "price_drop", 3600, False
)
MAIL = smtp.SmtpAdapter(mail_format.Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret")


def number_of(message: dict[str, Any]) -> int:
    """Return the number of the user whom an FCM message is for."""
    return int(message["token"][8:16])


def stop(
    lake: Lake,
    campaign: str = "price_drop",
    action: str = "stop",
    n: int = 0,
    channel: str | None = None,
) -> None:
    """Append an entry to the stops, n seconds after the hour began."""
    entry = {
        "entry_id": f"s{n}",
        "campaign_id": campaign,
        "action": action,
        "at_ts": START + timedelta(seconds=n),
        "actor": "test",
        "reason": None,
        "channel": channel,
    }
    lake.append_log("stops", pa.Table.from_pylist([entry], schema=arrow.schema(dataset("stops"))))


def suppress(lake: Lake, user: str, channel: str | None = None) -> None:
    """Append an entry to the suppressions: a person unsubscribed when the hour began."""
    entry = {
        "entry_id": f"e-{user}",
        "user_id": user,
        "channel": channel,
        "address_hash": None,
        "since_ts": START,
        "reason": "unsubscribed",
    }
    lake.append_log(
        "suppressions", pa.Table.from_pylist([entry], schema=arrow.schema(dataset("suppressions")))
    )


def outcomes(runs: list[tuple[str, int]], tries: int = 1) -> bytes:
    """Return a batch's outcome object: so many rows of each outcome, each after so many tries."""
    words = [word for word, n in runs for _ in range(n)]
    batch: Any = Outcomes(list(range(len(words))))
    batch.outcome[:] = words
    batch.attempts[:] = [tries] * len(words)
    return bytes(batch.to_bytes())

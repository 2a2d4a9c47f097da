"""What callers tell `angelia receive`, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.delivery.channels.webhook import sign
from angelia.lake import Lake
from angelia.receive.preferences.routes import PreferencesTrust
from tests.unit.delivery.given import DS

NOW = datetime(2026, 11, 15, 6, tzinfo=UTC)
SECRET, MAIL = b"s" * 32, b"m" * 32
KEY = "k" * 24
WORKER, PEOPLE = "w" * 32, "p" * 32  # the inbox: the worker's secret, the one of people's tokens
PAGE = PreferencesTrust("l" * 32, PEOPLE, "https://back.example/preferences")
CALLBACKS = {
    "sms": {"provider": "twilio", "auth_token": "token", "url": "https://back.example/callbacks/sms"},
    "huawei": {"provider": "huawei", "user": "angelia", "key": KEY},
    "xiaomi": {"provider": "xiaomi", "key": KEY},
    "oppo": {"provider": "oppo", "key": KEY},
    "meizu": {"provider": "meizu", "key": KEY},
    "email": {"provider": "ses_v2", "topics": ["arn:aws:sns:eu-west-1:1:mail"]},
    "mail_two": {
        "provider": "mandrill",
        "webhook_key": "hook",
        "url": "https://back.example/callbacks/mail_two",
    },
}
Post = Callable[..., tuple[int, dict[str, Any]]]


def signed(body: bytes, name: str = "msg-1", secret: bytes = SECRET, at: datetime = NOW) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    return {
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": sign(secret, name, stamp, body),
    }


def event(dispatch: str, kind: str = "opened", name: str = "e1", **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "dispatch_id": dispatch,
        "kind": kind,
        "at": (NOW - timedelta(hours=1)).isoformat(),
        **changes,
    }


def body_of(*events: dict[str, Any]) -> bytes:
    return json.dumps({"events": list(events)}).encode()


def receipts(lake: Lake) -> list[dict[str, Any]]:
    leaves = lake.partitions("push_receipts", ds=DS, source="receive")
    return [row for leaf in leaves for row in lake.read(lake.require("push_receipts", **leaf)).to_pylist()]


def endpoints(lake: Lake, *rows: tuple[str, str, str, int]) -> None:
    """Write `user_endpoints`: user, channel, address, days since it was registered."""
    names = ("user_id", "channel", "address")
    table = pa.Table.from_pylist(
        [
            dict(zip(names, row, strict=False))
            | {"registered_ts": NOW - timedelta(days=row[3]), "is_active": True}
            for row in rows
        ],
        schema=arrow.schema(dataset("user_endpoints")),
    )
    with lake.attempt("user_endpoints", ds="2026-11-14") as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish()

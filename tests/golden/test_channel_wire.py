"""Requests to providers, equal in meaning to golden files; `make golden` rewrites them.

A review reads the diff.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.apns import ApnsAdapter
from angelia.delivery.channels.base import Message
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.transport.wire import Request

WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*
GOLDEN = Path(__file__).parent
MESSAGES = {
    "plain": Message(
        "tok:en-1", "ab" * 16, "Price drop: camera", "Hello Ann, it costs less.", None, None, 3600, False
    ),
    "urgent_with_link": Message(
        "tok2", "cd" * 16, "Parcel", "At 5 pm", "https://shop.example/o?id=1&x=2", "order", 0, True
    ),
    "quotes_and_scripts": Message(
        't"\\k',
        "ef" * 16,
        'He said "hi"',
        "你好 \U0001f680 </script>\nline",
        None,
        "k" * 65,
        2_419_200,
        False,
    ),
}


NOW = 1_800_000_000.0
ADAPTERS = {
    "fcm": (FcmAdapter("my-project"), None),
    "apns": (ApnsAdapter("example.shop", lambda: NOW), "0123456789abcdef" * 4),
    "email": (
        SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret"),
        "ann@people.example",
    ),
    "webhook": (WebhookAdapter(b"secret", lambda: NOW), "https://hooks.shop.example/in?x=1"),
}


def shown(channel: str, request: Request) -> dict[str, Any]:
    """Return a request as reviewers read it."""
    pairs = [[k.decode(), v.decode()] for k, v in (*request.headers, *request.extra)]
    body = request.body.decode().split("\r\n") if channel == "email" else json.loads(request.body)
    return {"path": request.path.decode(), "headers": pairs, "body": body}


@pytest.mark.parametrize("channel", sorted(ADAPTERS))
@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_requests(channel: str, name: str) -> None:
    adapter, address = ADAPTERS[channel]
    message = MESSAGES[name]
    found = shown(
        channel, adapter.build_request(message if address is None else message._replace(address=address))
    )
    path = GOLDEN / channel / f"{name}.json"
    if WRITE_GOLDEN:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text())

"""Golden files of requests to providers; each adapter's own test compares with them.

`make golden` rewrites them; a review reads the diff.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from angelia.delivery.channels.base import Adapter, Message
from angelia.transport.wire import Request

WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*
GOLDEN = Path(__file__).parent
NOW = 1_800_000_000.0
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


def form(body: bytes) -> Any:
    """Read a form; fields that hold JSON are shown as documents."""
    return [
        [name, json.loads(value) if value.startswith("{") and name != "payload" else value]
        for name, value in parse_qsl(body.decode(), strict_parsing=True)
    ]


def unsigned(name: str, value: str) -> str:
    """Show a header of AWS: time and signature differ each time, and the sandbox verifies them."""
    if name == "x-amz-date":
        return ""
    return value.partition("/")[0] if name == "authorization" else value


def assert_golden(
    channel: str,
    name: str,
    adapter: Adapter,
    address: str | None = None,
    read: Callable[[bytes], Any] = json.loads,
    show: Callable[[str, str], str] = lambda _, value: value,
) -> None:
    """Compare the request of a message with its golden file, or write that.

    Args:
        channel: the folder of the golden files.
        name: of the message.
        adapter: builds the request.
        address: of the receiver; None = the message's own.
        read: reads the body as reviewers do.
        show: hides what of a header differs each time.
    """
    message = MESSAGES[name]
    request: Request = adapter.build_request(
        message if address is None else message._replace(address=address)
    )
    pairs = [(key.decode(), value.decode()) for key, value in (*request.headers, *request.extra)]
    document = {
        "path": request.path.decode(),
        "headers": [[key, show(key, value)] for key, value in pairs],
        "body": read(request.body),
    }
    path = GOLDEN / channel / f"{name}.json"
    if WRITE_GOLDEN:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    assert document == json.loads(path.read_text())

"""Callbacks' ids and times, the journal they end in, and people's numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from angelia.lake import Lake
from angelia.receive.callbacks.base import form_signature
from angelia.receive.journal import Journal
from tests.unit.receive.callers import CALLBACKS, NOW, Post

A, B = "a" * 32, "b" * 32
AT = NOW - timedelta(hours=1)
MS = int(AT.timestamp() * 1000)
FORM = {"content-type": "application/x-www-form-urlencoded"}


def kept(lake: Lake) -> list[tuple[str, str, str | None]]:
    """Return (dispatch, kind, reason) of all events in the journal."""
    groups = sorted(Journal(lake.store).pending())
    return sorted((event.dispatch_id, event.kind, event.reason) for _, events in groups for event in events)  # type: ignore[type-var]


def twilio(post: Post, query: str = "", **fields: str) -> tuple[int, dict[str, Any]]:
    url = CALLBACKS["sms"]["url"] + (f"?{query}" if query else "")
    signature = form_signature("token", url, fields.items())
    headers = FORM | {"x-twilio-signature": signature}
    return post(f"/callbacks/sms?{query}", urlencode(fields).encode(), headers)

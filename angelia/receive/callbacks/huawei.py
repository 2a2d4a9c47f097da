"""Huawei Push Kit: delivery receipts, up to 100 a request, of both versions.

Source: developer.huawei.com, "Message Receipt" (push-api-msg-receipt) and the status codes of "push-receipt",
read 2026-11-28. Surprise: X-HUAWEI-CALLBACK-ID signs time, nonce and user name, not the body; so it is
accepted for five minutes only, and TLS has to protect the rest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from angelia.delivery.channels.webhook import TOLERANCE_S
from angelia.receive.callbacks.base import (
    HARD,
    Callback,
    Reported,
    make_event,
    of_json,
    of_ms,
    read_items,
    same,
    text_of,
)
from angelia.receive.journal import Event

_HEADER = re.compile(
    r"\s*timestamp=(\d{10,13})\s*;\s*nonce=([0-9A-Za-z:-]{1,64})\s*;\s*value=([A-Za-z0-9+/]{43}=)\s*"
)
# Status -> reason: the app is gone, the token is another device's, and what ends no address.
REASONS: dict[int, str | None] = {
    0: None, 2: HARD, 5: HARD, 6: "not_displayed", 10: "inactive_device", 15: "replaced",
    27: "kept_on_device", 102: "too_many", 201: "held_by_server",
}  # fmt: skip


class HuaweiCallbacks:
    """The receipts of one project or app."""

    is_blocking = False

    def __init__(self, channel: str, user: str, key: str) -> None:
        self._channel, self._user, self._key = channel, user, key.encode()

    @classmethod
    def of(
        cls, channel: str, account: Mapping[str, Any], _hash_of: Callable[[str, str], str]
    ) -> HuaweiCallbacks:
        """Return the reader of an account's document. Raises: InvalidInput."""
        return cls(channel, text_of(account, "user", channel), text_of(account, "key", channel))

    def looks_signed(self, headers: Mapping[str, str], query: str, now: datetime) -> bool:
        """See `Reader.looks_signed`."""
        match = _HEADER.fullmatch(headers.get("x-huawei-callback-id", ""))
        if match is None:
            return False
        seconds = int(match[1]) / (1000 if len(match[1]) > 10 else 1)
        return abs(now.timestamp() - seconds) <= TOLERANCE_S

    def is_signed(self, request: Callback) -> bool:
        """See `Reader.is_signed`."""
        match = _HEADER.fullmatch(request.headers.get("x-huawei-callback-id", ""))
        if match is None:
            return False
        text = f"{match[1]}{match[2]}{self._user}".encode()
        wanted = base64.b64encode(hmac.new(self._key, text, hashlib.sha256).digest()).decode()
        return same(wanted, match[3])

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`."""
        document = of_json(request.body)
        if not isinstance(document, dict):
            raise ValueError("an object with statuses")
        return read_items(document.get("statuses"), lambda raw: self._event(raw, request.now))

    def _event(self, raw: Mapping[str, Any], now: datetime) -> Event:
        # Version 2 has the status within `deliveryStatus`, version 1 beside the token.
        status = raw.get("deliveryStatus") or {"result": raw.get("status"), "timestamp": raw.get("timestamp")}
        result, at = int(status["result"]), of_ms(status["timestamp"])
        kind = "delivered" if result == 0 else "bounced"
        reason = REASONS.get(result, "other")
        name, token = f"{raw['requestId']}:{result}", raw.get("token")
        return make_event(self._channel, name, raw.get("biTag"), kind, now, at=at, reason=reason, token=token)

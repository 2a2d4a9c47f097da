"""Mandrill (Mailchimp Transactional): events of mails, up to a thousand a request.

Source: mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks and the help pages "How
to Authenticate Webhook Requests" (X-Mandrill-Signature: HMAC-SHA1 over the address and the sorted fields) and
"Webhook Format", read 2026-11-28. Surprise: the signature covers the address exactly as it was typed in at
Mandrill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from angelia.receive.callbacks.base import (
    HARD,
    Callback,
    Reported,
    form_signature,
    make_event,
    of_json,
    read_items,
    same,
    text_of,
)
from angelia.receive.journal import Event, reason_code
from angelia.receive.machines import reason_of_open

KINDS = {
    "delivered": "delivered", "open": "opened", "click": "opened", "hard_bounce": "bounced",
    "soft_bounce": "bounced", "reject": "bounced", "spam": "complaint", "unsub": "unsubscribed",
}  # fmt: skip


class MandrillCallbacks:
    """The webhook of one account."""

    is_blocking = False

    def __init__(self, channel: str, key: str, url: str) -> None:
        self._channel, self._key, self._url = channel, key, url

    @classmethod
    def of(
        cls, channel: str, account: Mapping[str, Any], _hash_of: Callable[[str, str], str]
    ) -> MandrillCallbacks:
        """Return the reader of an account's document. Raises: InvalidInput."""
        return cls(channel, text_of(account, "webhook_key", channel), text_of(account, "url", channel))

    def looks_signed(self, headers: Mapping[str, str], query: str, now: datetime) -> bool:
        """See `Reader.looks_signed`."""
        return len(headers.get("x-mandrill-signature", "")) == 28

    def is_signed(self, request: Callback) -> bool:
        """See `Reader.is_signed`."""
        wanted = form_signature(self._key, self._url, request.form())
        return same(wanted, request.headers.get("x-mandrill-signature", ""))

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`."""
        text = dict(request.form()).get("mandrill_events", "")
        return read_items(of_json(text), lambda raw: self._event(raw, request.now))

    def _event(self, raw: Mapping[str, Any], now: datetime) -> Event | None:
        kind = KINDS.get(raw["event"])
        if kind is None:  # send, deferral, and what lists and inbound mail say
            return None
        mail, at = raw["msg"], datetime.fromtimestamp(int(raw["ts"]), UTC)
        dispatch = (mail.get("metadata") or {}).get("dispatch_id")
        name = f"{raw['_id']}:{raw['event']}:{raw['ts']}"
        return make_event(
            self._channel, name, dispatch, kind, now, at=at, reason=_reason(raw["event"], raw, mail)
        )


def _reason(event: str, raw: Mapping[str, Any], mail: Mapping[str, Any]) -> str | None:
    if event in ("open", "click"):
        # Scanners of links click as well as fetch.
        return reason_of_open(raw.get("user_agent")) or ("click" if event == "click" else None)
    if event == "hard_bounce":
        # The mail server's own code is the better reason; without one the bounce is hard by Mandrill's word.
        status = reason_code(str(mail.get("diag") or ""))
        return HARD if status == "other" else status
    return event if event in ("soft_bounce", "reject") else None

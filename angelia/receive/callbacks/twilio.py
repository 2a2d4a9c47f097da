"""Twilio: delivery of texts, and texts that people write back (STOP).

Source: twilio.com/docs/usage/webhooks/webhooks-security (X-Twilio-Signature: HMAC-SHA1 over the whole address
and the sorted fields) and /docs/messaging/guides/track-outbound-message-status, read 2026-11-28. Surprise:
Twilio sends no time, so an event is dated by its arrival. A text names no dispatch but a number; only its
keyed hash is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from angelia.receive.callbacks.base import (
    HARD,
    Callback,
    Reported,
    form_signature,
    make_event,
    read_items,
    same,
    text_of,
)
from angelia.receive.journal import Event
from angelia.receive.stop_words import says_stop

# MessageStatus -> kind. `queued`, `sending`, `sent` and the like say less than the sending itself did.
KINDS = {"delivered": "delivered", "read": "opened", "undelivered": "bounced", "failed": "bounced"}
# ErrorCode -> reason; `hard` ends the number, as a landline or an unknown handset does. 21610 comes by STOP.
# Source: twilio.com/docs/api/errors/CODE, read 2026-11-28.
ERRORS = {
    "30003": "unreachable", "30004": "blocked", "30005": HARD, "30006": HARD, "30007": "filtered",
    "30008": "unknown", "30034": "unregistered_sender",
}  # fmt: skip


class TwilioCallbacks:
    """The callbacks of one account, sent to one address."""

    is_blocking = False

    def __init__(
        self,
        channel: str,
        auth_token: str,
        url: str,
        hash_of: Callable[[str, str], str],
        languages: tuple[str, ...] | None = None,
    ) -> None:
        self._channel, self._token, self._url = channel, auth_token, url
        self._hash_of, self._languages = hash_of, languages

    @classmethod
    def of(
        cls, channel: str, account: Mapping[str, Any], hash_of: Callable[[str, str], str]
    ) -> TwilioCallbacks:
        """Return the reader of an account's document. Raises: InvalidInput."""
        languages = account.get("languages")
        return cls(
            channel,
            text_of(account, "auth_token", channel),
            text_of(account, "url", channel),
            hash_of,
            tuple(map(str, languages)) if isinstance(languages, list) else None,
        )

    def looks_signed(self, headers: Mapping[str, str], query: str, now: datetime) -> bool:
        """See `Reader.looks_signed`."""
        return len(headers.get("x-twilio-signature", "")) == 28

    def is_signed(self, request: Callback) -> bool:
        """See `Reader.is_signed`."""
        url = f"{self._url}?{request.query}" if request.query else self._url
        wanted = form_signature(self._token, url, request.form())
        return same(wanted, request.headers.get("x-twilio-signature", ""))

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`. A request is one status, or one text."""
        fields = dict(request.form())
        return read_items([fields], lambda raw: self._event(raw, request))

    def _event(self, raw: Mapping[str, str], request: Callback) -> Event | None:
        name, status = raw["MessageSid"], raw.get("MessageStatus")
        if status is None:
            return self._stop(name, raw, request.now)
        kind, code = KINDS.get(status), raw.get("ErrorCode")
        if kind is None:
            return None
        reason = ERRORS.get(code, "other") if code else None
        dispatch = request.parameter("dispatch_id")
        return make_event(self._channel, f"{name}:{status}", dispatch, kind, request.now, reason=reason)

    def _stop(self, name: str, raw: Mapping[str, str], now: datetime) -> Event | None:
        # OptOutType is set where Twilio itself answers the words; it knows them better than a table does.
        is_stop = raw.get("OptOutType", "").upper() == "STOP" or says_stop(raw["Body"], self._languages)
        if not is_stop:
            return None
        hashed, at_us = self._hash_of(self._channel, raw["From"]), int(now.timestamp() * 1e6)
        return Event(name, "", "stop", at_us, None, self._channel, address_hash=hashed, is_arrival=True)

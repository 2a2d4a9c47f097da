"""SES events, brought by an SNS topic, whose signature is checked by Amazon's certificate.

Sources: docs.aws.amazon.com/sns "Verifying the signatures of Amazon SNS messages" (versions 1 and 2) and
docs.aws.amazon.com/ses "Contents of event data", read 2026-11-28. Surprise: only topics that the file names
are accepted; otherwise anybody with an account at Amazon could sign. Their subscription is confirmed here,
once.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from angelia.errors import InvalidInput
from angelia.receive.callbacks.base import HARD, Callback, Reported, make_event, of_json, read_items
from angelia.receive.journal import Event
from angelia.receive.machines import reason_of_open

_HOST = re.compile(r"https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[^@\s]*")
_NOTE = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_ASKS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
KINDS = {
    "Delivery": "delivered", "Open": "opened", "Click": "opened", "Bounce": "bounced", "Reject": "bounced",
    "Complaint": "complaint", "Subscription": "unsubscribed",
}  # fmt: skip
Fetch = Callable[[str], bytes]


def fetch(url: str) -> bytes:
    """Return what an address of Amazon's holds. Raises: httpx.HTTPError."""
    answer = httpx.get(url, timeout=5.0, follow_redirects=False)
    answer.raise_for_status()
    return answer.content


class SesCallbacks:
    """The events of one channel, from topics that are named."""

    is_blocking = True

    def __init__(self, channel: str, topics: frozenset[str], fetch: Fetch = fetch) -> None:
        self._channel, self._topics, self._fetch = channel, topics, fetch
        self._keys: dict[str, rsa.RSAPublicKey] = {}

    @classmethod
    def of(
        cls, channel: str, account: Mapping[str, Any], _hash_of: Callable[[str, str], str]
    ) -> SesCallbacks:
        """Return the reader of an account's document. Raises: InvalidInput."""
        topics = account.get("topics")
        if not isinstance(topics, list) or not topics:
            raise InvalidInput(
                f"ANGELIA_RECEIVE_CREDENTIALS: callbacks.{channel} lacks topics",
                fix="list the ARNs of the SNS topics that SES writes its events to",
            )
        return cls(channel, frozenset(map(str, topics)))

    def looks_signed(self, headers: Mapping[str, str], query: str, now: datetime) -> bool:
        """See `Reader.looks_signed`. The header is not signed; the body is looked at again."""
        return headers.get("x-amz-sns-topic-arn", "") in self._topics

    def is_signed(self, request: Callback) -> bool:
        """See `Reader.is_signed`."""
        note = of_json(request.body)
        if not isinstance(note, dict) or note.get("TopicArn") not in self._topics:
            return False
        names = _NOTE if note.get("Type") == "Notification" else _ASKS
        algorithm, key = _HASHES.get(str(note.get("SignatureVersion"))), self._key(note.get("SigningCertURL"))
        if algorithm is None or key is None:
            return False
        text = "".join(f"{name}\n{note[name]}\n" for name in names if note.get(name) is not None)
        try:
            key.verify(
                base64.b64decode(str(note.get("Signature"))), text.encode(), padding.PKCS1v15(), algorithm
            )
        except (InvalidSignature, ValueError):
            return False
        return True

    def read(self, request: Callback) -> Reported:
        """See `Reader.read`. A subscription is confirmed by asking the address that it names."""
        note = of_json(request.body)
        if note.get("Type") == "SubscriptionConfirmation":
            url = str(note.get("SubscribeURL"))
            if not _HOST.fullmatch(url):
                raise ValueError("SubscribeURL")
            self._fetch(url)
            return Reported(ignored=1)
        if note.get("Type") != "Notification":
            return Reported(ignored=1)
        event, name = of_json(str(note["Message"])), str(note["MessageId"])
        return read_items([event], lambda raw: self._event(raw, name, request.now))

    def _key(self, url: object) -> rsa.RSAPublicKey | None:
        """Return the public key of a certificate at Amazon's address, kept once it was read."""
        if not isinstance(url, str) or not _HOST.fullmatch(url):
            return None
        if url not in self._keys:
            if len(self._keys) > 100:  # Amazon has a handful at a time
                self._keys.clear()
            key = x509.load_pem_x509_certificate(self._fetch(url)).public_key()
            if not isinstance(key, rsa.RSAPublicKey):
                return None
            self._keys[url] = key
        return self._keys[url]

    def _event(self, raw: Mapping[str, Any], name: str, now: datetime) -> Event | None:
        what = str(raw.get("eventType") or raw.get("notificationType"))
        kind = KINDS.get(what)
        # A complaint may say that somebody took a mail out of the spam folder again.
        is_praise = what == "Complaint" and raw["complaint"].get("complaintFeedbackType") == "not-spam"
        if kind is None or is_praise:
            return None
        dispatch = (raw["mail"].get("tags") or {}).get("dispatch_id", [None])[0]
        details = raw.get(what.lower()) or {}
        at = datetime.fromisoformat(str(details.get("timestamp") or raw["mail"]["timestamp"]))
        return make_event(self._channel, name, dispatch, kind, now, at=at, reason=_reason(what, details))


def _reason(what: str, details: Mapping[str, Any]) -> str | None:
    if what in ("Open", "Click"):
        # Scanners of links click as well as fetch.
        return reason_of_open(details.get("userAgent")) or ("click" if what == "Click" else None)
    if what == "Reject":
        return "reject"
    if what != "Bounce":
        return None
    status = _STATUS.search(str((details.get("bouncedRecipients") or [{}])[0].get("status") or ""))
    if details.get("bounceType") == "Permanent":
        return status[0] if status else HARD
    return status[0] if status and not status[0].startswith("5") else "soft_bounce"

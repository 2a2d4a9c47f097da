"""Firebase Cloud Messaging, HTTP v1: one message per request over HTTP/2.

The dispatch id travels in `data.dispatch_id`: FCM has no idempotency key, so the phone (and the sandbox) can
tell a repeat, and `collapse_key` limits what a person would see of one.
"""

from __future__ import annotations

import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote

from angelia.delivery.channels.base import (
    ACCEPTED,
    AMBIGUOUS,
    AUTH,
    GONE,
    HALT,
    REJECTED,
    RETRY,
    THROTTLED,
    Capabilities,
    ChannelConfig,
    Message,
    Provider,
    StandIn,
    Verdict,
    require_size,
)
from angelia.delivery.channels.oauth import ServiceAccount
from angelia.transport.wire import Answer, Request

# Source: firebase.google.com/docs/cloud-messaging, "Message types", written down 2026-11-21.
PAYLOAD_LIMIT = 4096
COLLAPSE_ID_LIMIT = 64  # of APNs, for tokens that FCM hands on to it
BASE_URL = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"

# (HTTP status, FcmError.errorCode or google.rpc status) -> meaning; None matches any status.
# Source: firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode and .../fcm/error-codes, read 2026-11-21.
# INVALID_ARGUMENT is settled by its details: FcmError alone = the token, google.rpc.BadRequest = our payload.
ERRORS: dict[str, str] = {
    "UNREGISTERED": GONE,
    "SENDER_ID_MISMATCH": HALT,
    "THIRD_PARTY_AUTH_ERROR": HALT,
    "PERMISSION_DENIED": HALT,
    "NOT_FOUND": HALT,  # without UNREGISTERED: the project, not the phone
    "UNAUTHENTICATED": AUTH,
    "QUOTA_EXCEEDED": THROTTLED,
    "RESOURCE_EXHAUSTED": THROTTLED,
    "UNAVAILABLE": RETRY,
    "INTERNAL": RETRY,
    "INVALID_ARGUMENT": REJECTED,
}
STATUSES: dict[int, str] = {
    401: AUTH,
    403: HALT,
    429: THROTTLED,
    500: RETRY,
    502: RETRY,
    503: RETRY,
    504: RETRY,
}
_FCM_ERROR, _BAD_REQUEST = "google.firebase.fcm.v1.FcmError", "google.rpc.BadRequest"


class FcmAdapter:
    """Builds `messages:send` requests of one project."""

    def __init__(self, project_id: str) -> None:
        self._path = f"/v1/projects/{project_id}/messages:send".encode()
        self._headers = ((b"content-type", b"application/json"),)
        self._tails: dict[tuple[object, ...], tuple[str, str]] = {}

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`.

        Many rows share everything but token and dispatch id, so the rest is encoded once.
        """
        _, _, title, body, link, collapse, ttl_s, urgent, _, _ = message
        key = (title, body, link, collapse, ttl_s, urgent)
        parts = self._tails.get(key)
        if parts is None:
            if len(self._tails) > 8192:
                self._tails.clear()
            parts = self._tails[key] = self._shared(message)
        text = (
            f'{{"message":{{"token":{quote(message.address)}{parts[0]}{quote(message.dispatch_id)}{parts[1]}'
        )
        return Request(self._path, self._headers, text.encode("ascii"))

    @staticmethod
    def _shared(message: Message) -> tuple[str, str]:
        """Return the JSON between token and dispatch id, and after it."""
        # Base64, JSON escapes and such do not count for FCM: it measures the UTF-8 of notification and data.
        size = (
            sum(
                len(text.encode())
                for text in (message.title, message.body, message.link or "", message.dispatch_id)
            )
            + 64
        )
        require_size(size, PAYLOAD_LIMIT)
        more = f',"link":{quote(message.link)}' if message.link else ""
        return (
            f',"notification":{{"title":{quote(message.title)},"body":{quote(message.body)}}}'
            ',"data":{"dispatch_id":',
            f"{more}}},{_how(message.collapse_key, message.ttl_s, message.is_urgent)}}}}}",
        )

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            document = {}
        error = document.get("error")
        if answer.status == 200 and not error:
            name = document.get("name")
            return (
                Verdict(ACCEPTED, None, name)
                if isinstance(name, str)
                else Verdict(AMBIGUOUS, "answer_without_name")
            )
        return self._failure(answer.status, error if isinstance(error, dict) else {})

    @staticmethod
    def _failure(status: int, error: dict[str, object]) -> Verdict:
        details = error.get("details")
        details = [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
        types = [str(item.get("@type", "")) for item in details]
        code = next((str(item["errorCode"]) for item in details if "errorCode" in item), None) or error.get(
            "status"
        )
        if code == "INVALID_ARGUMENT":
            is_token = any(_FCM_ERROR in kind for kind in types) and not any(
                _BAD_REQUEST in kind for kind in types
            )
            return Verdict(REJECTED, "INVALID_ARGUMENT.token" if is_token else "INVALID_ARGUMENT.payload")
        if isinstance(code, str) and code in ERRORS:
            return Verdict(ERRORS[code], code)
        return Verdict(
            STATUSES.get(status, REJECTED), code[:64] if isinstance(code, str) else f"HTTP_{status}"
        )


@lru_cache(maxsize=8_192)  # a message of its own words shares these with many
def _how(collapse_key: str | None, ttl_s: int, is_urgent: bool) -> str:
    """Return the JSON that says how phones are to take a message, without its outer brackets."""
    android: dict[str, str] = {"ttl": f"{ttl_s}s", "priority": "HIGH" if is_urgent else "NORMAL"}
    apns: dict[str, str] = {"apns-priority": "10" if is_urgent else "5"}
    if collapse_key:
        android["collapse_key"] = collapse_key
        if len(collapse_key.encode()) <= COLLAPSE_ID_LIMIT:
            apns["apns-collapse-id"] = collapse_key
    return json.dumps({"android": android, "apns": {"headers": apns}}, separators=(",", ":"))[1:-1]


CAPABILITIES = Capabilities(
    address="registration token",
    limit=f"{PAYLOAD_LIMIT:,} bytes of notification and data",
    collapse="collapse_key (and apns-collapse-id, 64 bytes)",
    ttl="android.ttl",
    receipts="the app's own beacon; delivery data exported from BigQuery",
)


def stand_in() -> StandIn:
    """Return FCM without a project; its limit does not count the token."""
    return StandIn(FcmAdapter("stand-in"), "t" * 163)


def open_provider(config: ChannelConfig) -> Provider:
    """Return FCM for a service account (`ANGELIA_FCM_CREDENTIALS` names its JSON file)."""
    account = ServiceAccount.load(config, SCOPE)
    return Provider(
        FcmAdapter(account.project_id), config.base_url or BASE_URL, account, connections=2, concurrency=200
    )

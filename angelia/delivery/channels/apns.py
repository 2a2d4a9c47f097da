"""Apple Push Notification service: one message per request, HTTP/2, ES256 provider token.

`apns-id` is the dispatch id written as a UUID: it names a message, APNs removes no repeats by it.
`ANGELIA_APNS_CREDENTIALS` names a JSON file with
`team_id`, `key_id`, `private_key` (the .p8 text), `topic` (bundle id); optional `environment: development`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import jwt

from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    GONE,
    HALT,
    REJECTED,
    RETRY,
    THROTTLED,
    Capabilities,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    StandIn,
    Verdict,
    header_value,
    load_credentials,
    require_size,
)
from angelia.delivery.channels.tokens import SignedToken
from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.addresses import APNS_TOKEN
from angelia.transport.wire import Answer, Request

# Source: developer.apple.com/documentation/usernotifications, "Sending notification requests to APNs", read
# 2026-11-21.
HOSTS = {"production": "https://api.push.apple.com", "development": "https://api.sandbox.push.apple.com"}
PAYLOAD_LIMIT, COLLAPSE_ID_LIMIT = 4096, 64
# Source: ".../Establishing a token-based connection to APNs": no more than once in 20 minutes, no less than
# once in 60; read 2026-11-21.
TOKEN_LIFE_S, TOKEN_MIN_S = 50 * 60.0, 20 * 60.0
# `reason` -> meaning. Source: ".../Handling notification responses from APNs", read 2026-11-21.
# BadDeviceToken and DeviceTokenNotForTopic may as well be a wrong environment or topic of ours: the row is
# rejected, the address stays.
ERRORS: dict[str, str] = {
    "BadCollapseId": REJECTED, "BadDeviceToken": REJECTED, "BadExpirationDate": REJECTED,
    "BadMessageId": REJECTED, "BadPriority": REJECTED,
    "DeviceTokenNotForTopic": REJECTED, "PayloadEmpty": REJECTED, "PayloadTooLarge": REJECTED,
    "DuplicateHeaders": REJECTED, "BadPath": REJECTED,
    "InvalidPushType": REJECTED, "MissingDeviceToken": REJECTED, "Unregistered": GONE, "ExpiredToken": GONE,
    "ExpiredProviderToken": AUTH,
    "InvalidProviderToken": HALT, "MissingProviderToken": HALT, "BadTopic": HALT, "MissingTopic": HALT,
    "TopicDisallowed": HALT, "Forbidden": HALT,
    "BadCertificate": HALT, "BadCertificateEnvironment": HALT, "BadEnvironmentKeyIdInToken": HALT,
    "UnrelatedKeyIdInToken": HALT,
    "MethodNotAllowed": HALT, "TooManyProviderTokenUpdates": THROTTLED, "TooManyRequests": RETRY,
    "IdleTimeout": RETRY, "InternalServerError": RETRY,
    "ServiceUnavailable": RETRY, "Shutdown": RETRY,
}  # fmt: skip
STATUSES: dict[int, str] = {403: HALT, 410: GONE, 429: RETRY, 500: RETRY, 502: RETRY, 503: RETRY, 504: RETRY}
_TOKEN = re.compile(APNS_TOKEN)  # checked whole, since it becomes part of the path


class ProviderToken(SignedToken):
    """The ES256 token of a team's key; made on this machine, kept for 50 minutes."""

    kept_s = TOKEN_LIFE_S

    async def refresh(self, stale: bytes | None) -> None:
        """See `Credentials.refresh`.

        A token refused while it is young is not replaced: APNs counts that as abuse.

        Raises:
            InvalidInput: the key is unusable.
            AngeliaError: a token less than 20 minutes old is called expired.
        """
        now = self._now()
        if stale is not None and 0 <= now - self._made < TOKEN_MIN_S:
            raise AngeliaError(
                "APNs calls a token expired that is less than 20 minutes old",
                fix="set this machine's clock, then rerun",
            )
        claims = {"iss": self._account["team_id"], "iat": int(now)}
        try:
            token = jwt.encode(
                claims,
                self._account["private_key"],
                algorithm="ES256",
                headers={"kid": self._account["key_id"]},
            )
        except (ValueError, TypeError, jwt.PyJWTError):
            raise InvalidInput(
                "the APNs private key is unusable", fix="use the text of the .p8 file"
            ) from None
        self._header, self._made = f"bearer {token}".encode(), now


class ApnsAdapter:
    """Builds notifications for one topic."""

    def __init__(self, topic: str, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._fixed = {urgent: self._headers(topic, b"10" if urgent else b"5") for urgent in (False, True)}
        self._heads: dict[tuple[str, str, str | None], str] = {}

    @staticmethod
    def _headers(topic: str, priority: bytes) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"apns-topic", topic.encode()), (b"apns-push-type", b"alert"), (b"apns-priority", priority))

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        address, dispatch, title, body, link, collapse, ttl_s, urgent, _, _ = message
        if not _TOKEN.fullmatch(address):
            raise MessageRejected("bad_address")
        key = (title, body, link)
        head = self._heads.get(key)
        if head is None:
            document = {"aps": {"alert": {"title": title, "body": body}}, **({"link": link} if link else {})}
            head = json.dumps(document, ensure_ascii=False, separators=(",", ":"))[:-1]
            if len(self._heads) > 8192:
                self._heads.clear()
            self._heads[key] = head
        payload = f'{head},"dispatch_id":{json.dumps(dispatch)}}}'.encode()
        require_size(len(payload), PAYLOAD_LIMIT)
        name = f"{dispatch[:8]}-{dispatch[8:12]}-{dispatch[12:16]}-{dispatch[16:20]}-{dispatch[20:]}"
        extra = [
            (b"apns-id", header_value(name)),
            (b"apns-expiration", b"%d" % (self._now() + ttl_s if ttl_s else 0)),
        ]
        if collapse and collapse.isascii() and collapse.isprintable() and len(collapse) <= COLLAPSE_ID_LIMIT:
            extra.append((b"apns-collapse-id", collapse.encode()))
        return Request(
            b"/3/device/" + address.encode(), self._fixed[urgent], payload, tuple(extra), own_path=True
        )

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        if answer.status == 200:
            return Verdict(ACCEPTED, None, answer.header(b"apns-id"))
        try:
            document = json.loads(answer.body)
            reason, at = document.get("reason"), document.get("timestamp")
        except (ValueError, AttributeError):
            reason = at = None
        kind = ERRORS.get(reason) if isinstance(reason, str) else None
        kind = kind or STATUSES.get(answer.status, REJECTED)
        # Milliseconds since 1970 there, microseconds here.
        gone = at * 1000 if kind == GONE and isinstance(at, int) else None
        return Verdict(kind, reason[:64] if isinstance(reason, str) else f"HTTP_{answer.status}", None, gone)


CAPABILITIES = Capabilities(
    address="device token, hexadecimal",
    limit=f"{PAYLOAD_LIMIT:,} bytes of JSON",
    collapse=f"apns-collapse-id, {COLLAPSE_ID_LIMIT} bytes",
    ttl="apns-expiration",
    receipts="the app's own beacon",
)


def stand_in() -> StandIn:
    """Return APNs without a team; the payload does not hold the device token."""
    return StandIn(ApnsAdapter("stand.in"), "0" * 64)


def open_provider(config: ChannelConfig) -> Provider:
    """Return APNs for a team's key (`ANGELIA_APNS_CREDENTIALS`)."""
    account = load_credentials(config, ("team_id", "key_id", "private_key", "topic"))
    url = config.base_url or HOSTS.get(str(account.get("environment", "production")))
    if url is None:
        raise InvalidInput(
            "APNs environment is neither production nor development", fix="correct it in the credentials file"
        )
    return Provider(
        ApnsAdapter(str(account["topic"])), url, ProviderToken(account), connections=2, concurrency=200
    )

"""Web Push: a browser's subscription is the address, and its keys read the message.

The address is the JSON of `PushSubscription.toJSON()`: `endpoint`, and `keys` with `p256dh` and `auth`.
`ANGELIA_WEBPUSH_CREDENTIALS` names a JSON file with `private_key` (PEM, P-256) and `subject` (mailto: or
https:); optional `allowed_hosts` beside the browsers' own. Surprise: endpoints come from outside, so only
hosts of the list are called, and `safe_http` refuses private addresses on top of that.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from angelia.delivery.channels.base import (
    ACCEPTED,
    GONE,
    HALT,
    REJECTED,
    RETRY,
    Capabilities,
    ChannelConfig,
    Message,
    MessageRejected,
    Provider,
    StandIn,
    Verdict,
    load_credentials,
    require_size,
)
from angelia.errors import InvalidInput
from angelia.transport import push_encryption as sealed
from angelia.transport.push_encryption import SubscriptionKeys, decode, encode
from angelia.transport.safe_http import REFUSED_ADDRESS, SafeHttp, Url, parse_url
from angelia.transport.wire import Answer, Request

# Source: RFC 8030 section 7.2 (a service takes at least 4,096 bytes) and RFC 8291 section 4; 2026-11-28.
PAYLOAD_LIMIT = sealed.RECORD_BYTES - sealed.OVERHEAD_BYTES
# Source: RFC 8292 section 2: at most 24 hours. Half of it lets a clock be wrong.
TOKEN_LIFE_S = 12 * 3600
# Push services of Chrome and Edge on Android, Firefox, Edge on Windows, Safari; written down 2026-11-28.
HOSTS = ("fcm.googleapis.com", "push.services.mozilla.com", "notify.windows.com", "push.apple.com")
# HTTP status -> meaning. Source: RFC 8030 section 5 and 7.3, RFC 8292 section 4.2; read 2026-11-28. A service
# that limits by subscription answers 429 for one receiver, so it slows no other.
ERRORS: dict[int, str] = {
    400: HALT, 401: HALT, 403: HALT, 404: GONE, 410: GONE, 413: REJECTED, 429: RETRY, 500: RETRY, 502: RETRY,
    503: RETRY, 504: RETRY,
}  # fmt: skip
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")  # RFC 8030 section 5.4


class WebPushAdapter:
    """Builds encrypted posts, signed with one VAPID key."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: str,
        hosts: Sequence[str] = HOSTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key, self._subject, self._hosts, self._now = key, subject, tuple(hosts), now
        self._seed = key.private_numbers().private_value.to_bytes(32, "big")
        self._public = encode(sealed.point_of(key.public_key()))
        self._tokens: dict[str, tuple[float, bytes]] = {}
        self._headers = (
            (b"content-encoding", b"aes128gcm"),
            (b"content-type", b"application/octet-stream"),
        )

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        endpoint, url, receiver = self._subscription(message.address)
        document = {"dispatch_id": message.dispatch_id, "title": message.title, "body": message.body}
        if message.link:
            document["link"] = message.link
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        require_size(len(text), PAYLOAD_LIMIT)
        extra = [
            (b"authorization", self._authorization(url)),
            (b"ttl", b"%d" % message.ttl_s),
            (b"urgency", b"high" if message.is_urgent else b"normal"),
        ]
        if message.collapse_key and _TOPIC.fullmatch(message.collapse_key):
            extra.append((b"topic", message.collapse_key.encode()))
        try:
            body = sealed.encrypt_repeatably(text, receiver, self._seed)
        except ValueError:
            raise MessageRejected("bad_address") from None
        return Request(endpoint.encode("ascii"), self._headers, body, tuple(extra), own_path=True)

    def _subscription(self, address: str) -> tuple[str, Url, SubscriptionKeys]:
        try:
            given: Any = json.loads(address)
            endpoint, keys = given["endpoint"], given["keys"]
            receiver = SubscriptionKeys(decode(keys["p256dh"]), decode(keys["auth"]))
            url = parse_url(endpoint)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MessageRejected("bad_address") from None
        if url is None or not endpoint.isascii():
            raise MessageRejected("bad_address")
        host = url.host.lower().rstrip(".")
        if not any(host == name or host.endswith(f".{name}") for name in self._hosts):
            raise MessageRejected(REFUSED_ADDRESS)
        return endpoint, url, receiver

    def _authorization(self, url: Url) -> bytes:
        """Return the header for an origin; one signature serves it for six hours."""
        origin = f"https://{url.host.lower()}" + ("" if url.port == 443 else f":{url.port}")
        now = self._now()
        made, header = self._tokens.get(origin, (0.0, b""))
        if not 0 <= now - made < TOKEN_LIFE_S / 2:
            claims = {"aud": origin, "exp": int(now) + TOKEN_LIFE_S, "sub": self._subject}
            token = jwt.encode(claims, self._key, algorithm="ES256")
            header = f"vapid t={token}, k={self._public}".encode()
            if len(self._tokens) > 256:
                self._tokens.clear()
            self._tokens[origin] = (now, header)
        return header

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        if answer.failure == REFUSED_ADDRESS:
            return Verdict(REJECTED, REFUSED_ADDRESS)
        if answer.status in (200, 201, 202, 204):
            return Verdict(ACCEPTED, None, (answer.header(b"location") or "").rpartition("/")[2] or None)
        if 300 <= answer.status < 400:
            return Verdict(REJECTED, "redirect")
        return Verdict(ERRORS.get(answer.status, REJECTED), f"HTTP_{answer.status}")


def host_of(address: str) -> str:
    """Return whose server a subscription is at: its host and port."""
    try:
        url = parse_url(json.loads(address)["endpoint"])
    except (ValueError, KeyError, TypeError, AttributeError):
        url = None
    return f"{url.host.lower().rstrip('.')}:{url.port}" if url else ""


CAPABILITIES = Capabilities(
    address="subscription, JSON of PushSubscription.toJSON()",
    limit=f"{PAYLOAD_LIMIT:,} bytes of JSON before encryption",
    collapse="Topic, 32 letters, digits, - and _",
    ttl="TTL",
    receipts="the page's own beacon",
)


def stand_in() -> StandIn:
    """Return Web Push with a key of its own; what is sent does not hold the subscription."""
    key = ec.derive_private_key(1, ec.SECP256R1())
    keys = {"p256dh": encode(sealed.point_of(key.public_key())), "auth": encode(bytes(16))}
    address = json.dumps({"endpoint": f"https://{HOSTS[0]}/stand-in", "keys": keys})
    return StandIn(WebPushAdapter(key, "mailto:stand-in@example.com"), address)


def open_provider(config: ChannelConfig) -> Provider:
    """Return Web Push for a VAPID key; every subscription names its own base address."""
    account = load_credentials(config, ("private_key", "subject"))
    if config.base_url is not None:
        name = f"ANGELIA_{config.channel.upper()}_URL"
        raise InvalidInput(
            "Web Push has no base address", fix=f"every subscription has its own; unset {name}"
        )
    try:
        key = load_pem_private_key(str(account["private_key"]).encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise InvalidInput("the VAPID private key is unusable", fix="write a P-256 key as PEM into the file")
    is_local = account.get("allow_private") is True  # a sandbox on this machine; never a real configuration
    more = account.get("allowed_hosts") or []
    hosts = (*HOSTS, *(str(name).lower() for name in more)) if isinstance(more, list) else HOSTS

    def transport(given: ChannelConfig, timeout_s: float) -> SafeHttp:
        return SafeHttp(timeout_s, ca_file=given.ca_file, allow_private=is_local, keeps=True)

    return Provider(
        WebPushAdapter(key, str(account["subject"]), hosts), "", None, concurrency=64,
        open_transport=transport, receiver_of=host_of, may_rehearse=is_local,
    )  # fmt: skip

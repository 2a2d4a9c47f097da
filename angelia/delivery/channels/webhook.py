"""Generic signed webhook: a row's address is its receiver's URL, the message signed JSON.

`ANGELIA_WEBHOOK_CREDENTIALS` names a JSON file with `secret` (shared with the receivers). Signed as the
Standard Webhooks specification says (HMAC-SHA256), so that receivers need no code of ours. Surprise: URLs
come from outside; where they may lead is decided in `safe_http`, not here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable

from angelia.delivery.channels.base import (
    ACCEPTED,
    GONE,
    REJECTED,
    RETRY,
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
from angelia.errors import InvalidInput
from angelia.transport.safe_http import REFUSED_ADDRESS, SafeHttp, parse_url
from angelia.transport.wire import Answer, Request
from angelia.users.addresses import ascii_url

PAYLOAD_LIMIT = 20_000
# Source: github.com/standard-webhooks/standard-webhooks, spec, "Webhook timestamp", written down 2026-11-21
TOLERANCE_S = 300.0
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")  # 32 bytes
# HTTP status -> meaning. Source: RFC 9110 section 15; 410 as in the Standard Webhooks spec ("disable the
# endpoint"), of 2026-11-21. A redirect is never followed: it would take a signed body to an address nobody
# has looked at. 429 is one receiver's wish and slows no other.
ERRORS: dict[int, str] = {
    408: RETRY, 410: GONE, 413: REJECTED, 421: RETRY, 425: RETRY, 429: RETRY, 500: RETRY, 502: RETRY,
    503: RETRY, 504: RETRY, 507: RETRY,
}  # fmt: skip


def sign(secret: bytes, name: str, stamp: str, body: bytes) -> str:
    """Return the signature header of a body."""
    digest = hmac.new(secret, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def looks_signed(name: str, stamp: str, signature: str, now: float) -> bool:
    """Say whether the headers alone may belong to a signed body: complete, and young enough."""
    is_time = stamp.isascii() and stamp.isdigit() and len(stamp) <= 12
    if not (name and is_time and abs(now - int(stamp)) <= TOLERANCE_S):
        return False
    return any(_SIGNATURE.fullmatch(given) for given in signature.split(" "))


def verify(secret: bytes, name: str, stamp: str, body: bytes, signature: str, now: float) -> bool:
    """Say whether one of the signatures given is ours, and young enough."""
    if not looks_signed(name, stamp, signature, now):
        return False
    wanted = sign(secret, name, stamp, body).encode()
    return any(
        hmac.compare_digest(wanted, given.encode("latin-1", "replace")) for given in signature.split(" ")
    )


class WebhookAdapter:
    """Builds signed posts."""

    def __init__(self, secret: bytes, now: Callable[[], float] = time.time) -> None:
        self._secret, self._now = secret, now
        self._headers = ((b"content-type", b"application/json"), (b"user-agent", b"angelia-webhook/1"))

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`.

        The body is the same at every try; time and signature are headers.
        """
        url = ascii_url(message.address)
        if url is None or parse_url(url) is None:
            raise MessageRejected("bad_address")
        document = {
            "dispatch_id": message.dispatch_id,
            "title": message.title,
            "body": message.body,
            "ttl_s": message.ttl_s,
        }
        if message.link:
            document["link"] = message.link
        if message.collapse_key:
            document["collapse_key"] = message.collapse_key
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        require_size(len(body), PAYLOAD_LIMIT)
        stamp = str(int(self._now()))
        extra = (
            (b"webhook-id", header_value(message.dispatch_id)),
            (b"webhook-timestamp", stamp.encode()),
            (b"webhook-signature", sign(self._secret, message.dispatch_id, stamp, body).encode()),
        )
        return Request(url.encode("ascii"), self._headers, body, extra, own_path=True)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`.

        The body of the answer is the receiver's, and is not looked at.
        """
        if answer.failure == REFUSED_ADDRESS:
            return Verdict(REJECTED, REFUSED_ADDRESS)
        if 200 <= answer.status < 300:
            return Verdict(ACCEPTED)
        if 300 <= answer.status < 400:
            return Verdict(REJECTED, "redirect")
        return Verdict(ERRORS.get(answer.status, REJECTED), f"HTTP_{answer.status}")


def host_of(address: str) -> str:
    """Return whose server an address is: its host and port."""
    url = parse_url(address)
    return f"{url.host.lower().rstrip('.')}:{url.port}" if url else ""


CAPABILITIES = Capabilities(
    address="https URL",
    limit=f"{PAYLOAD_LIMIT:,} bytes of JSON",
    collapse="collapse_key, for the receiver to use",
    ttl="ttl_s, for the receiver to use",
    receipts="the receiver's own callback",
)


def stand_in() -> StandIn:
    """Return webhooks without a secret; the body does not hold the receiver's address."""
    return StandIn(WebhookAdapter(b"stand-in"), "https://stand-in.example/")


def open_provider(config: ChannelConfig) -> Provider:
    """Return the webhook channel (`ANGELIA_WEBHOOK_CREDENTIALS`).

    It has no base address: every row names its own.
    """
    account = load_credentials(config, ("secret",))
    if config.base_url is not None:
        raise InvalidInput(
            "the webhook channel has no base address",
            fix="every row of the manifest has its own; unset ANGELIA_WEBHOOK_URL",
        )
    is_local = account.get("allow_private") is True  # a sandbox on this machine; never a real configuration
    secret = str(account["secret"]).encode()

    def transport(given: ChannelConfig, timeout_s: float) -> SafeHttp:
        return SafeHttp(timeout_s, ca_file=given.ca_file, allow_private=is_local)

    return Provider(
        WebhookAdapter(secret),
        "",
        None,
        concurrency=64,
        open_transport=transport,
        receiver_of=host_of,
        may_rehearse=is_local,
    )

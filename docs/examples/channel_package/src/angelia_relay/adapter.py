"""Relay: one signed JSON post per message to a relay of yours, over HTTP/2.

The relay passes the message on, to an SMS gateway for example. The dispatch id travels in `webhook-id`, so
that the relay recognises a repeat. `ANGELIA_<CHANNEL>_URL` is the relay's address,
`ANGELIA_<CHANNEL>_CREDENTIALS` names a JSON file with `secret`.
"""

from __future__ import annotations

import json
import re
import time
from urllib.parse import urlsplit

from angelia.delivery.channels.base import (
    ACCEPTED,
    GONE,
    HALT,
    REJECTED,
    RETRY,
    THROTTLED,
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
from angelia.delivery.channels.webhook import sign
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request

PAYLOAD_LIMIT = 8_192
# HTTP status -> meaning. Source: this relay's own manual; yours says something else. What is not listed is
# rejected, under its own code.
ERRORS: dict[int, str] = {
    401: HALT, 403: HALT, 408: RETRY, 410: GONE, 413: REJECTED, 429: THROTTLED, 500: RETRY, 502: RETRY,
    503: RETRY, 504: RETRY,
}  # fmt: skip
_ADDRESS = re.compile(r"[A-Za-z0-9+-]{3,40}")  # it becomes part of the path
_HEADERS = ((b"content-type", b"application/json"),)


class RelayAdapter:
    """Builds one request and classifies one answer; the worker does all the rest.

    Retry, pacing, deadline and ledger live in the worker.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def build_request(self, message: Message) -> Request:
        """Return the request of a message; equal messages have equal bodies."""
        if not _ADDRESS.fullmatch(message.address):
            raise MessageRejected("bad_address")
        document = {
            "dispatch_id": message.dispatch_id,
            "title": message.title,
            "body": message.body,
            "ttl_s": message.ttl_s,
        }
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        require_size(len(body), PAYLOAD_LIMIT)
        stamp = str(int(time.time()))
        extra = (
            (b"webhook-id", header_value(message.dispatch_id)),
            (b"webhook-timestamp", stamp.encode()),
            (b"webhook-signature", sign(self._secret, message.dispatch_id, stamp, body).encode()),
        )
        return Request(b"/hook/" + message.address.encode("ascii"), _HEADERS, body, extra, own_path=True)

    def classify(self, answer: Answer) -> Verdict:
        """Return what an answer with a status means."""
        if 200 <= answer.status < 300:
            return Verdict(ACCEPTED)
        return Verdict(ERRORS.get(answer.status, REJECTED), f"HTTP_{answer.status}")


def stand_in() -> StandIn:
    """Return the adapter without an account, with which catalog and guard measure messages."""
    return StandIn(RelayAdapter(b"stand-in"), "0" * 40)


def open_provider(config: ChannelConfig) -> Provider:
    """Return the provider: what the entry point names.

    Raises:
        InvalidInput: the configuration is incomplete.
    """
    account = load_credentials(config, ("secret",))
    if config.base_url is None:
        raise InvalidInput(
            f"channel {config.channel} has no relay",
            fix=f"set ANGELIA_{config.channel.upper()}_URL to its address",
        )
    is_local = urlsplit(config.base_url).hostname in ("127.0.0.1", "::1", "localhost")
    return Provider(
        RelayAdapter(str(account["secret"]).encode()),
        config.base_url,
        None,
        connections=1,
        concurrency=50,
        may_rehearse=is_local,
    )

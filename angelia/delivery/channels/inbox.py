"""In-app inbox: `angelia receive` keeps a message until its person opens the app.

A row's address is the person's id, as the app's token names it. `ANGELIA_<CHANNEL>_URL` is where `angelia
receive` answers, `ANGELIA_<CHANNEL>_CREDENTIALS` names a JSON file with `secret`, the same as in its own.
Surprise: a message that is sent twice stands there twice and is shown once, by its dispatch id.
"""

from __future__ import annotations

import json
import re

from angelia.contracts.sources import ID
from angelia.delivery.channels.base import (
    ACCEPTED,
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
    load_credentials,
    require_size,
)
from angelia.delivery.channels.tokens import FixedToken, pooled, require_id
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request

PATH = b"/inbox/messages"
PAYLOAD_LIMIT, TTL_MAX_S = 16_384, 30 * 86_400  # ours: the dataset keeps 30 days
STATUSES: dict[int, str] = {
    400: REJECTED, 401: HALT, 404: HALT, 408: RETRY, 413: REJECTED, 429: THROTTLED, 500: RETRY, 502: RETRY,
    503: RETRY, 504: RETRY,
}  # fmt: skip
_PERSON = re.compile(ID)


class InboxAdapter:
    """Builds messages of one channel."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._headers = ((b"content-type", b"application/json"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        document = {
            "user_id": require_id(_PERSON, message.address),
            "channel": self._channel,
            "dispatch_id": message.dispatch_id,
            "title": message.title,
            "body": message.body,
            "ttl_s": min(max(message.ttl_s, 1), TTL_MAX_S),
            **({"link": message.link} if message.link else {}),
            **({"collapse_key": message.collapse_key} if message.collapse_key else {}),
        }
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        require_size(len(body), PAYLOAD_LIMIT)
        return Request(PATH, self._headers, body)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        if answer.status == 200:
            return Verdict(ACCEPTED)
        return Verdict(STATUSES.get(answer.status, REJECTED), f"HTTP_{answer.status}")


CAPABILITIES = Capabilities(
    address="the person's id",
    limit=f"{PAYLOAD_LIMIT:,} bytes of JSON",
    collapse="collapse_key: the newest is shown",
    ttl=f"ttl_s, at most {TTL_MAX_S // 86_400} days",
    receipts="the app marks messages as displayed and opened",
)


def stand_in() -> StandIn:
    """Return an inbox without an account."""
    return StandIn(InboxAdapter("inbox"), "u" * 32)


def open_provider(config: ChannelConfig) -> Provider:
    """Return the inbox that `ANGELIA_<CHANNEL>_URL` names."""
    account = load_credentials(config, ("secret",))
    if not config.base_url:
        raise InvalidInput(
            f"channel {config.channel} has no address",
            fix=f"set ANGELIA_{config.channel.upper()}_URL to where `angelia receive` answers",
        )
    return Provider(
        InboxAdapter(config.channel),
        config.base_url,
        FixedToken(f"Bearer {account['secret']}", "the inbox"),
        concurrency=128,
        open_transport=pooled(config.base_url),
        may_rehearse=False,
    )

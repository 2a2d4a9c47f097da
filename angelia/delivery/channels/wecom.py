"""WeCom application messages: a row's address is a member's UserID in the corporation.

`ANGELIA_WECOM_CREDENTIALS` names a JSON file with `corp_id`, `secret` and `agent_id` of the application.
With a link the message is a card, else a text. Surprise: failures come with HTTP 200; WeCom drops a second
message of equal content to a member within half an hour, as asked for here.
"""

from __future__ import annotations

import json
import re

from angelia.delivery.channels.answers import judge
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
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
from angelia.delivery.channels.tokens import json_object, open_application, plain_text, require_id
from angelia.transport.wire import Answer, Request

BASE_URL = "https://qyapi.weixin.qq.com"
TOKEN_PATH, PATH = "/cgi-bin/gettoken", b"/cgi-bin/message/send"
# Source: docs/reference/channels.md (2,048 bytes of text), written down 2026-11-21. Longer texts would be cut
# in silence, so they are refused. A card's texts are bounded by the same sum.
TEXT_LIMIT, REPEAT_S = 2048, 1800
# `errcode` -> meaning. Source: list of WeCom's global error codes, as copied at
# blog.csdn.net/weixin_42101641/article/details/115790737 and .../zheng_shukai/article/details/120199935, read
# 2026-11-28; the provider's own page (developer.work.weixin.qq.com/document/path/90313) could not be read.
# 81013 and `invaliduser`: unknown, or not in the application's visible range; the address stays.
ERRORS: dict[str, str] = {
    "-1": RETRY, "40001": HALT, "40003": REJECTED, "40008": REJECTED, "40014": AUTH, "40035": REJECTED,
    "40056": HALT, "41001": AUTH, "42001": AUTH, "45009": THROTTLED, "60011": HALT, "60020": HALT,
    "81013": REJECTED, "301002": HALT,
}  # fmt: skip
# Source: the first of these pages, 40003: 1 to 64 letters, digits, hyphens, underscores and dots.
_USER = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


class WecomAdapter:
    """Builds messages of one application."""

    def __init__(self, agent_id: int) -> None:
        self._agent = agent_id
        self._headers = ((b"content-type", b"application/json"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        user = require_id(_USER, message.address)
        require_size(len(plain_text(message).encode()), TEXT_LIMIT)
        document: dict[str, object] = {"touser": user, "agentid": self._agent}
        if message.link:
            card = {"title": message.title, "description": message.body, "url": message.link}
            document |= {"msgtype": "textcard", "textcard": card}
        else:
            document |= {"msgtype": "text", "text": {"content": plain_text(message)}}
        document |= {"enable_duplicate_check": 1, "duplicate_check_interval": REPEAT_S}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Request(PATH, self._headers, body)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, name = document.get("errcode"), document.get("msgid")
        if code == 0 and code is not False:
            if document.get("invaliduser"):
                return Verdict(REJECTED, "invaliduser")
            return Verdict(ACCEPTED, None, name if isinstance(name, str) else None)
        return judge(answer, code, ERRORS)


CAPABILITIES = Capabilities(
    address="UserID of a member",
    limit=f"{TEXT_LIMIT:,} bytes of title, body and link",
    collapse=None,
    ttl=None,
    receipts=None,
    multicast=1000,
)


def stand_in() -> StandIn:
    """Return WeCom without a corporation; its limit does not count the member."""
    return StandIn(WecomAdapter(1), "u" * 64)


def open_provider(config: ChannelConfig) -> Provider:
    """Return an application of a corporation."""
    return open_application(
        config, WecomAdapter, BASE_URL, TOKEN_PATH, {"corpid": "corp_id", "corpsecret": "secret"}
    )

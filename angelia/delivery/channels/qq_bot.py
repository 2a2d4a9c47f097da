"""Official QQ bots: a row's address is the openid that a user has for the bot.

`ANGELIA_QQ_BOT_CREDENTIALS` names a JSON file with `app_id` and `client_secret`; optional `token_url`.
Surprise: by QQ's page of April 2025 a bot may only answer, and its own messages are refused; a bot with QQ's
permission has a few a month for each user, and users who switched them off get none.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from angelia.delivery.channels.answers import STATUSES, judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    FULL,
    HALT,
    REJECTED,
    RETRY,
    SPENT,
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
from angelia.delivery.channels.tokens import (
    Issued,
    IssuedToken,
    json_object,
    plain_text,
    pooled,
    require_id,
)
from angelia.transport.wire import Answer, Request

# Source of all below: github.com/tencent-connect/bot-docs, docs/develop/api-v2 (interface-framework/api-use,
# message/send-receive/send, error-trace/openapi) of 2025-04-21, read 2026-11-28.
BASE_URL, TOKEN_URL = "https://api.sgroup.qq.com", "https://bots.qq.com/app/getAppAccessToken"
TEXT_LIMIT_CHARS = 2000  # ours: no page that was read names one
# `code` of a failure -> meaning. 304023 and 304024 come with 201 or 202: taken, and a person looks at it.
# 22009, 304049: this user's count; 304050: the bot's. 304018: a bot has to hold its gateway open.
ERRORS: dict[str, str] = {
    "11241": AUTH, "11242": RETRY, "11243": AUTH, "11251": HALT, "11252": RETRY, "11253": HALT, "11254": HALT,
    "11261": HALT, "11262": HALT, "11265": HALT, "11275": HALT, "12002": REJECTED, "22009": FULL,
    "50006": REJECTED, "304003": REJECTED, "304006": RETRY, "304016": RETRY, "304018": HALT,
    "304022": REJECTED, "304023": ACCEPTED, "304024": ACCEPTED, "304025": REJECTED, "304049": FULL,
    "304050": SPENT, "1100100": THROTTLED, "1100101": REJECTED, "1100102": HALT, "1100103": REJECTED,
    "1100300": RETRY,
}  # fmt: skip
TOKEN_STATUSES: dict[int, str] = {**STATUSES, 401: AUTH}
# Codes of the token endpoint that pass: too many questions. Source: FablerTan/dsh-qq-relay,
# docs/official-bot-channel.md of 2026-10-18, read 2026-11-28.
BUSY = (100001,)
_OPENID = re.compile(r"[A-Za-z0-9_-]{4,64}")


class QqBotAdapter:
    """Builds messages of one bot."""

    def __init__(self) -> None:
        self._headers = ((b"content-type", b"application/json"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        user, text = require_id(_OPENID, message.address), plain_text(message)
        require_size(len(text), TEXT_LIMIT_CHARS, "characters")
        body = json.dumps({"content": text, "msg_type": 0}, ensure_ascii=False, separators=(",", ":"))
        return Request(f"/v2/users/{user}/messages".encode(), self._headers, body.encode(), own_path=True)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        name, code = provider_id(document.get("id")), document.get("code")
        if answer.status == 200 and name:
            return Verdict(ACCEPTED, None, name)
        verdict = judge(answer, code, ERRORS, TOKEN_STATUSES)
        if verdict.kind == ACCEPTED and answer.status >= 300:
            return Verdict(REJECTED, verdict.reason)
        return verdict


CAPABILITIES = Capabilities(
    address="openid of a user of the bot",
    limit=f"{TEXT_LIMIT_CHARS:,} characters of title, body and link (ours)",
    collapse=None,
    ttl=None,
    receipts=None,
)


def stand_in() -> StandIn:
    """Return QQ's messages without a bot."""
    return StandIn(QqBotAdapter(), "0" * 32)


def open_provider(config: ChannelConfig) -> Provider:
    """Return a bot's messages."""
    account = load_credentials(config, ("app_id", "client_secret"))
    secrets = {"appId": str(account["app_id"]), "clientSecret": str(account["client_secret"])}
    # Another base address, such as the sandbox's, gives out the tokens as well.
    token_url = urlsplit(str(account.get("token_url") or TOKEN_URL))
    base = config.base_url or f"{token_url.scheme}://{token_url.netloc}"
    content = json.dumps(secrets, separators=(",", ":")).encode()
    request = Request(token_url.path.encode(), ((b"content-type", b"application/json"),), content)

    def read(document: dict[str, object]) -> Issued:
        code = document.get("code")
        return Issued(
            document.get("access_token"), document.get("expires_in"), None if code in BUSY else code
        )

    token = IssuedToken(base, lambda _: ("POST", request), read, prefix="QQBot ", ca_file=config.ca_file)
    url = config.base_url or BASE_URL
    return Provider(QqBotAdapter(), url, token, concurrency=16, open_transport=pooled(url))

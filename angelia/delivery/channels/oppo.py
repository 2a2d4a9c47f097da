"""OPPO, realme and OnePlus push: a row's address is a registration id.

`ANGELIA_OPPO_CREDENTIALS` names a JSON file with `app_key` and `master_secret`; optional `channel_id` and
`category` (a notification class applied for with OPPO), `callback` (where receipts go), `per_request`
(messages in a request, at most 1,000; else 100). Surprise: failures come with HTTP 200, and beyond the number
of messages of a day nothing gets through until tomorrow.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from urllib.parse import urlencode

from angelia.delivery.channels.answers import judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    GONE,
    HALT,
    REJECTED,
    RETRY,
    SPENT,
    THROTTLED,
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
from angelia.delivery.channels.by_class import ClassSetting, for_class, read_setting
from angelia.delivery.channels.oppo_batch import MOST, OppoBatch
from angelia.delivery.channels.tokens import (
    Issued,
    IssuedToken,
    gathered,
    json_object,
    per_request,
    under_way,
)
from angelia.transport.pooled_http import FORM, TokenPlace
from angelia.transport.wire import Answer, Request

# Source: OPPO's page "addresses, common parameters and return codes" (open.oppomobile.com/new/developmentDoc,
# as stored), read 2026-11-28; devices abroad: api-intl.push.oppomobile.com, by ANGELIA_OPPO_URL.
BASE_URL = "https://api.push.oppomobile.com"
TOKEN_PATH, PATH = b"/server/v1/auth", b"/server/v1/message/notification/unicast"
TOKEN_LIFE_S = 86_400  # same page
# Characters of the standard style, and how long OPPO keeps a message. Source: what two server programs quote
# of its page id=11236 (Mininglamp-OSS/octo-server; EngageLab's push options), read 2026-11-28.
TITLE_CHARS, TEXT_CHARS, TTL_MAX_S = 50, 50, 10 * 86_400
# Code in the body -> meaning. Source: the page above, and "unicast" for 10000, read 2026-11-28.
# 33 is the app's count of the day. 12 and 14 to 24 say that the app or its signature is wrong.
ERRORS: dict[str, str] = {
    "-2": THROTTLED, "-1": RETRY, "11": AUTH, "12": HALT, "13": THROTTLED, "14": HALT, "15": HALT,
    "16": HALT, "17": HALT, "18": HALT, "19": HALT, "20": HALT, "21": HALT, "22": HALT, "23": HALT,
    "24": HALT, "25": REJECTED, "26": HALT, "27": HALT, "28": HALT, "29": AUTH, "30": HALT,
    "31": REJECTED, "32": REJECTED, "33": SPENT, "40": REJECTED, "41": REJECTED, "55": THROTTLED,
    "59": HALT, "67": HALT, "10000": GONE,
}  # fmt: skip
# A lost answer makes a whole request ambiguous, so it holds fewer than it may.
PER_REQUEST = 100
_FORM = ((b"content-type", b"application/x-www-form-urlencoded"),)


class OppoAdapter:
    """Builds notifications of one app."""

    def __init__(self, options: Mapping[str, ClassSetting]) -> None:
        self._options = dict(options)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`. The token joins the form on its way out."""
        if not message.address.strip() or any(mark in message.address for mark in ",; "):
            raise MessageRejected("bad_address")
        require_size(len(message.title), TITLE_CHARS, "characters of title")
        require_size(len(message.body), TEXT_CHARS, "characters of body")
        data = {"dispatch_id": message.dispatch_id, **({"link": message.link} if message.link else {})}
        kind = message.wire_class
        notification: dict[str, object] = {
            "app_message_id": message.dispatch_id,
            "style": 1,
            "title": message.title,
            "content": message.body,
            "action_parameters": _json(data),
            "off_line": True,
            "off_line_ttl": min(max(message.ttl_s, 1), TTL_MAX_S),
            **{name: word for name, setting in self._options.items() if (word := for_class(setting, kind))},
        }
        if message.collapse_key:
            # A later notification with the same id replaces the one that is shown.
            notification["notify_id"] = zlib.crc32(message.collapse_key.encode()) & 0x7FFFFFFF
        if message.link and message.link.startswith(("https://", "http://")):
            notification |= {"click_action_type": 2, "click_action_url": message.link}
        if "call_back_url" in self._options:
            notification["call_back_parameter"] = message.dispatch_id
        target = {"target_type": 2, "target_value": message.address, "verify_registration_id": True}
        form = {"message": _json({**target, "notification": notification})}
        return Request(PATH, _FORM, urlencode(form).encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, data = document.get("code"), document.get("data")
        if code == 0 and code is not False and answer.status == 200:
            return Verdict(
                ACCEPTED, None, provider_id(data.get("messageId") if isinstance(data, dict) else None)
            )
        return judge(answer, code, ERRORS)


def _json(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _token(base_url: str, app_key: str, secret: str, config: ChannelConfig) -> IssuedToken:
    """Return the token of an app, asked for with a signed time in milliseconds."""

    def ask(now: float) -> tuple[str, Request]:
        at = str(int(now * 1000))
        sign = hashlib.sha256(f"{app_key}{at}{secret}".encode()).hexdigest()
        form = urlencode({"app_key": app_key, "sign": sign, "timestamp": at})
        return "POST", Request(TOKEN_PATH, _FORM, form.encode())

    def read(document: dict[str, object]) -> Issued:
        code, data = document.get("code"), document.get("data")
        is_refused = code and ERRORS.get(str(code)) not in (RETRY, THROTTLED)
        token = data.get("auth_token") if isinstance(data, dict) else None
        return Issued(token, TOKEN_LIFE_S, code if is_refused else None)

    return IssuedToken(base_url, ask, read, ca_file=config.ca_file)


CAPABILITIES = Capabilities(
    address="registration id",
    limit=f"{TITLE_CHARS} characters of title, {TEXT_CHARS} of body",
    collapse="notify_id, a checksum of the collapse key",
    ttl=f"off_line_ttl, at most {TTL_MAX_S // 86_400} days",
    receipts="call_back_url, with the dispatch id as its parameter",
    multicast=MOST,
    ours=PER_REQUEST,
)


def stand_in() -> StandIn:
    """Return OPPO's push without an app; its limits do not count the registration id."""
    return StandIn(OppoAdapter({}), "CN_" + "0" * 32)


def open_provider(config: ChannelConfig) -> Provider:
    """Return OPPO's push for an app."""
    account = load_credentials(config, ("app_key", "master_secret"))
    options = {name: read_setting(config, account, name) for name in ("channel_id", "category")}
    if account.get("callback"):  # at most 200 characters (the page on receipts, read 2026-11-28)
        options["call_back_url"] = str(account["callback"])
    most = per_request(config, account, MOST, PER_REQUEST)
    url = config.base_url or BASE_URL
    token = _token(url, str(account["app_key"]), str(account["master_secret"]), config)
    opened = gathered(url, TokenPlace(FORM, "auth_token"), OppoBatch(), most)
    return Provider(OppoAdapter(options), url, token, concurrency=under_way(most), open_transport=opened)

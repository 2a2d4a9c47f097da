"""vivo and iQOO push: a row's address is a regId.

`ANGELIA_VIVO_CREDENTIALS` names a JSON file with `app_id` (a number), `app_key` and `app_secret`; optional
`category` (of a system message, applied for with vivo; without one the message is marketing). Surprises:
failures come with HTTP 200, and marketing outside vivo's hours of the day is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib

from angelia.delivery.channels.answers import judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    GONE,
    HALT,
    REJECTED,
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
from angelia.delivery.channels.by_class import ClassSetting, for_class, read_setting
from angelia.delivery.channels.tokens import Issued, IssuedToken, json_object, pooled, require_id
from angelia.errors import InvalidInput
from angelia.transport.pooled_http import HEADER, TokenPlace
from angelia.transport.wire import Answer, Request

BASE_URL = "https://api-push.vivo.com.cn"
TOKEN_PATH, PATH = b"/message/auth", b"/message/send"
# A token holds a day; vivo asks to renew it every one or two hours. Widths, in which a Chinese character
# counts two; seconds that vivo keeps a message. Source: vivo's "PUSH-UPS-API" 2.9.2 (dev.vivo.com.cn/
# documentCenter/doc/362), as quoted at yimenapp.com/kb-yimen/12123 and by two server programs
# (liyouping/pushapi; vivo's own SDK), read 2026-11-28; the provider's page itself could not be read.
TOKEN_LIFE_S, TITLE_WIDTH, TEXT_WIDTH, TTL_MIN_S, TTL_MAX_S = 7200, 40, 100, 60, 604_800
# `result` -> meaning. Same source for 10070, 10093 and 10094, else two server programs (TeamTalk; a Go
# SDK's comments); the whole table could not be read. 10070 and 10073 are counts of the day, 10071 its hours.
ERRORS: dict[str, str] = {
    "10000": AUTH, "10070": SPENT, "10071": HALT, "10072": THROTTLED, "10073": SPENT, "10085": REJECTED,
    "10093": THROTTLED, "10094": HALT, "10104": REJECTED, "10200": HALT, "10201": HALT, "10202": HALT,
    "10203": HALT, "10204": HALT, "10205": HALT, "10206": HALT, "10207": HALT, "10302": GONE,
}  # fmt: skip
# `invalidUser.status` -> meaning: 1 unknown, 2 uninstalled or notifications closed, 3 not online for months,
# 4 no test user. Same source.
USER_ERRORS: dict[object, str] = {1: GONE, 2: GONE, 3: GONE, 4: REJECTED}
_REG_ID = re.compile(r"[A-Za-z0-9_-]{4,64}")
_JSON = ((b"content-type", b"application/json"),)


class VivoAdapter:
    """Builds notifications of one app."""

    def __init__(self, app_id: int, category: ClassSetting = None) -> None:
        self._app_id, self._category = app_id, category

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        address = require_id(_REG_ID, message.address)
        require_size(_width(message.title), TITLE_WIDTH, "columns of title")
        require_size(_width(message.body), TEXT_WIDTH, "columns of body")
        data = {"dispatch_id": message.dispatch_id, **({"link": message.link} if message.link else {})}
        is_web = message.link is not None and message.link.startswith(("https://", "http://"))
        category = for_class(self._category, message.wire_class)
        document: dict[str, object] = {
            "appId": self._app_id,
            "regId": address,
            "notifyType": 4 if message.is_urgent else 2,
            "title": message.title,
            "content": message.body,
            "timeToLive": min(max(message.ttl_s, TTL_MIN_S), TTL_MAX_S),
            "skipType": 2 if is_web else 1,
            **({"skipContent": message.link} if is_web else {}),
            # Marketing is 0; a system message needs a category that vivo has granted.
            **({"classification": 1, "category": category} if category else {"classification": 0}),
            "clientCustomMap": data,
            "requestId": message.dispatch_id[:64],  # ours have 32
        }
        if message.collapse_key:
            # A later notification with the same id replaces the one that is shown.
            document["notifyId"] = zlib.crc32(message.collapse_key.encode()) & 0x7FFFFFFF
        return Request(PATH, _JSON, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        result, user = document.get("result"), document.get("invalidUser")
        status = user.get("status") if isinstance(user, dict) else None
        if isinstance(status, int) and status in USER_ERRORS:
            return Verdict(USER_ERRORS[status], f"invalidUser.{status}")
        if result == 0 and result is not False and answer.status == 200:
            return Verdict(ACCEPTED, None, provider_id(document.get("taskId")))
        return judge(answer, result, ERRORS)


def _width(text: str) -> int:
    """Return how many columns a text takes; whatever is beyond Latin-1 counts as Chinese does."""
    return len(text) + sum(character > "\xff" for character in text)


CAPABILITIES = Capabilities(
    address="regId",
    limit=f"{TITLE_WIDTH} columns of title, {TEXT_WIDTH} of body; a Chinese character has two",
    collapse="notifyId, a checksum of the collapse key",
    ttl=f"timeToLive, {TTL_MIN_S} s to {TTL_MAX_S // 86_400} days",
    receipts="extra.callback, not asked for",
    multicast=1000,
)


def stand_in() -> StandIn:
    """Return vivo's push without an app; its limits do not count the regId."""
    return StandIn(VivoAdapter(10_004), "1" * 23)


def open_provider(config: ChannelConfig) -> Provider:
    """Return vivo's push for an app."""
    account = load_credentials(config, ("app_id", "app_key", "app_secret"))
    app_id, key, secret = (str(account[name]).strip() for name in ("app_id", "app_key", "app_secret"))
    if not app_id.isdecimal():
        raise InvalidInput(
            f"the app_id of channel {config.channel} is not a number",
            fix="copy it from vivo's developer pages",
        )

    def ask(now: float) -> tuple[str, Request]:
        at = int(now * 1000)
        sign = hashlib.md5(f"{app_id}{key}{at}{secret}".encode(), usedforsecurity=False).hexdigest()
        document = {"appId": int(app_id), "appKey": key, "timestamp": at, "sign": sign}
        return "POST", Request(TOKEN_PATH, _JSON, json.dumps(document, separators=(",", ":")).encode())

    def read(document: dict[str, object]) -> Issued:
        code = document.get("result")
        is_refused = code and ERRORS.get(str(code)) != THROTTLED
        return Issued(document.get("authToken"), TOKEN_LIFE_S, code if is_refused else None)

    url = config.base_url or BASE_URL
    adapter = VivoAdapter(int(app_id), read_setting(config, account, "category"))
    place = TokenPlace(HEADER, "authToken")
    token = IssuedToken(url, ask, read, ca_file=config.ca_file)
    return Provider(adapter, url, token, concurrency=32, open_transport=pooled(url, place))

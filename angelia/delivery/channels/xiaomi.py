"""Xiaomi push (mainland and overseas hosts): a row's address is a registration id.

`ANGELIA_XIAOMI_CREDENTIALS` names a JSON file with `app_secret` and `package_name`; optional `channel_id`
(a notification class applied for with Xiaomi) and `callback` (where receipts go, an address of `angelia
receive`). Surprise: failures come with HTTP 200, and lengths are counted in characters.
"""

from __future__ import annotations

import json
import zlib
from urllib.parse import urlencode

from angelia.delivery.channels.answers import judge
from angelia.delivery.channels.base import (
    ACCEPTED,
    AMBIGUOUS,
    GONE,
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
    require_single_address,
    require_size,
)
from angelia.delivery.channels.by_class import ClassSetting, for_class, read_setting
from angelia.delivery.channels.token_lists import XIAOMI_MOST, XiaomiLists, by_lists, naming
from angelia.delivery.channels.tokens import FixedToken, json_object, per_request
from angelia.transport.wire import Answer, Request

BASE_URL = "https://api.xmpush.xiaomi.com"
PATH = b"/v3/message/regid"
# Source: dev.mi.com/xiaomihyperos/documentation/detail?pId=1559 (title shorter than 50, description shorter
# than 128, a character counts 1; a message is kept for at most ten days), read 2026-11-28.
TITLE_CHARS, TEXT_CHARS, TTL_MAX_S = 49, 127, 10 * 86_400
# Code in the body -> meaning. Source: dev.mi.com/xiaomihyperos/documentation/detail?pId=1560 of 2024-10-18,
# read 2026-11-28. 10034 is the app's count of the day: nothing gets through until tomorrow.
ERRORS: dict[str, str] = {
    "-1": RETRY, "1": RETRY, "10001": RETRY, "10002": RETRY, "10003": RETRY, "10008": REJECTED,
    "10012": REJECTED, "10016": REJECTED, "10017": REJECTED, "10027": THROTTLED, "10029": REJECTED,
    "10031": HALT, "10034": SPENT, "10036": HALT, "20301": REJECTED, "21301": HALT, "21302": HALT,
    "21303": HALT, "21305": HALT, "22000": HALT, "22006": HALT, "22007": HALT, "22022": HALT,
    "22102": REJECTED, "26003": RETRY, "26006": HALT, "27001": HALT, "65009": REJECTED, "65029": RETRY,
}  # fmt: skip


class XiaomiAdapter:
    """Builds notifications of one app."""

    def __init__(
        self,
        package_name: str,
        channel_id: ClassSetting = None,
        callback: str | None = None,
        *,
        by_list: bool = False,
    ) -> None:
        self._fixed = {"restricted_package_name": package_name, "pass_through": "0", "notify_type": "-1"}
        self._channel_id, self.by_list = channel_id, by_list
        # 1 delivered, 2 clicked, 16 no device of this app any more. Source: the page of the limits.
        asks = {"extra.callback": callback, "extra.callback.type": "19"} if callback else {}
        self._asks: dict[str, str | None] = dict(asks)
        self._headers = ((b"content-type", b"application/x-www-form-urlencoded"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        require_single_address(message.address)
        require_size(len(message.title), TITLE_CHARS, "characters of title")
        require_size(len(message.body), TEXT_CHARS, "characters of body")
        name = naming(message, by_list=self.by_list)
        data = name | ({"link": message.link} if message.link else {})
        channel = for_class(self._channel_id, message.wire_class)
        form = {
            "registration_id": message.address,
            **self._fixed,
            **({"extra.channel_id": channel} if channel else {}),
            **self._asks,
            "title": message.title,
            "description": message.body,
            "payload": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
            "time_to_live": str(min(max(message.ttl_s, 1), TTL_MAX_S) * 1000),
        }
        if self._asks:
            (form["extra.callback.param"],) = name.values()
        if message.collapse_key:
            # A later notification with the same id replaces the one that is shown.
            form["notify_id"] = str(zlib.crc32(message.collapse_key.encode()) & 0x7FFFFFFF)
        if message.link and message.link.startswith(("https://", "http://")):
            form |= {"extra.notify_effect": "3", "extra.web_uri": message.link}
        return Request(PATH, self._headers, urlencode(form).encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, data = document.get("code"), document.get("data")
        data = data if isinstance(data, dict) else {}
        # This row's registration id is no longer one; this comes with success and with 20301.
        if data.get("bad_regids"):
            return Verdict(GONE, "bad_regids")
        if code == 0 and code is not False and answer.status == 200:
            name = data.get("id")
            return Verdict(ACCEPTED, None, name) if isinstance(name, str) else Verdict(AMBIGUOUS, "no_id")
        return judge(answer, code, ERRORS)


CAPABILITIES = Capabilities(
    address="registration id",
    limit=f"{TITLE_CHARS} characters of title, {TEXT_CHARS} of body",
    collapse="notify_id, a checksum of the collapse key",
    ttl=f"time_to_live, at most {TTL_MAX_S // 86_400} days",
    receipts="extra.callback, with the dispatch id as its parameter",
    multicast=None,
)


def stand_in() -> StandIn:
    """Return Xiaomi's push without an app; its limits do not count the registration id."""
    return StandIn(XiaomiAdapter("example.stand.in"), "r" * 64)


def open_provider(config: ChannelConfig) -> Provider:
    """Return Xiaomi's push for an app."""
    account = load_credentials(config, ("app_secret", "package_name"))
    channel_id = read_setting(config, account, "channel_id")
    callback = str(account["callback"]) if account.get("callback") else None
    url, most = config.base_url or BASE_URL, per_request(config, account, XIAOMI_MOST)
    adapter, other = (
        XiaomiAdapter(str(account["package_name"]), channel_id, callback, by_list=by_list)
        for by_list in (most > 1, most == 1)
    )
    secret = FixedToken(f"key={account['app_secret']}", "Xiaomi")
    rows, opened = by_lists(url, XiaomiLists(), most)
    return Provider(
        adapter,
        url,
        secret,
        concurrency=rows,
        open_transport=opened,
        sends_lists=adapter.by_list,
        other_form=other,
    )

"""Meizu (Flyme) push: a row's address is a pushId.

`ANGELIA_MEIZU_CREDENTIALS` names a JSON file with `app_id` and `app_secret`; optional `is_private` (a class
applied for with Meizu; else public) and `callback` (where receipts go, an address of `angelia receive` that
is also registered with Meizu). There is no token: each request is signed. Surprise: failures come with HTTP
200, and a pushId that is refused stands under its code in an answer of success.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from urllib.parse import urlencode

from angelia.delivery.channels.answers import judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    FULL,
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
from angelia.delivery.channels.tokens import json_object, pooled
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request

# Source of all below: github.com/MEIZUPUSH/PushAPI, README.md, read 2026-11-28. It writes http; a request
# that holds a person's pushId goes out over TLS only.
BASE_URL = "https://server-api-push.meizu.com"
PATH = b"/garcia/api/server/push/varnished/pushByPushId"
TITLE_CHARS, TEXT_CHARS, TTL_MAX_H = 32, 100, 72
CALLBACK_BYTES = 128
SUCCESS = "200"
# `code` of the answer -> meaning. 110019 and 110051 are the app's counts.
ERRORS: dict[str, str] = {
    "500": RETRY, "1001": RETRY, "1003": RETRY, "1005": REJECTED, "1006": HALT, "110000": HALT,
    "110001": HALT, "110002": GONE, "110003": GONE, "110004": REJECTED, "110009": HALT, "110010": THROTTLED,
    "110019": SPENT, "110031": HALT, "110033": HALT, "110051": SPENT, "110053": HALT,
}  # fmt: skip
# The code under which `value` names the one pushId -> meaning. 110010 is another thing here: notifications
# are switched off. 520: folded with others of the same minute; 110011: this device's count of the day.
TARGET_ERRORS: dict[str, str] = {
    "201": HALT, "501": RETRY, "513": RETRY, "519": THROTTLED, "520": REJECTED, "110002": GONE,
    "110003": GONE, "110010": GONE, "110011": FULL,
}  # fmt: skip
_FORM = ((b"content-type", b"application/x-www-form-urlencoded;charset=UTF-8"),)


def signature(fields: dict[str, str], secret: str) -> str:
    """Return the MD5 of the sorted fields and the secret, as Meizu asks for."""
    text = "".join(f"{name}={fields[name]}" for name in sorted(fields))
    return hashlib.md5(f"{text}{secret}".encode(), usedforsecurity=False).hexdigest()


class MeizuAdapter:
    """Builds signed notifications of one app."""

    def __init__(
        self, app_id: str, secret: str, *, is_private: bool = False, callback: str | None = None
    ) -> None:
        self._app_id, self._secret, self._kind = app_id, secret, int(is_private)
        self._callback = callback

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        require_single_address(message.address)
        require_size(len(message.title), TITLE_CHARS, "characters of title")
        require_size(len(message.body), TEXT_CHARS, "characters of body")
        data = {"dispatch_id": message.dispatch_id, **({"link": message.link} if message.link else {})}
        click: dict[str, object] = {"clickType": 0, "parameters": data}
        if message.link and message.link.startswith(("https://", "http://")):
            click = {"clickType": 2, "url": message.link, "parameters": data}
        document: dict[str, object] = {
            "noticeBarInfo": {
                "noticeMsgType": self._kind,
                "noticeBarType": 0,
                "title": message.title,
                "content": message.body,
            },
            "clickTypeInfo": click,
            # Whole hours: a message that lives for minutes may be shown later than it should.
            "pushTimeInfo": {"offLine": 1, "validTime": min(max(-(-message.ttl_s // 3600), 1), TTL_MAX_H)},
        }
        if message.collapse_key:
            # Of notifications with one key the last is shown; it has at most eight letters and digits.
            document["advanceInfo"] = {"notifyKey": f"{zlib.crc32(message.collapse_key.encode()):08x}"}
        if self._callback:
            # 3 asks for delivered and clicked.
            extra = {"callback": self._callback, "callback.param": message.dispatch_id, "callback.type": 3}
            document["extra"] = extra
        fields = {
            "appId": self._app_id,
            "pushIds": message.address,
            "messageJson": json.dumps(document, ensure_ascii=False, separators=(",", ":")),
        }
        form = {**fields, "sign": signature(fields, self._secret)}
        return Request(PATH, _FORM, urlencode(form).encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, value = document.get("code"), document.get("value")
        if str(code) != SUCCESS or answer.status != 200:
            return judge(answer, code, ERRORS)
        word = next(iter(value), None) if isinstance(value, dict) else None
        if word is not None:
            return Verdict(TARGET_ERRORS.get(word, REJECTED), f"value.{word}")
        return Verdict(ACCEPTED, None, provider_id(document.get("msgId")))


CAPABILITIES = Capabilities(
    address="pushId",
    limit=f"{TITLE_CHARS} characters of title, {TEXT_CHARS} of body",
    collapse="notifyKey, a checksum of the collapse key",
    ttl=f"validTime, whole hours, at most {TTL_MAX_H}",
    receipts="extra.callback, with the dispatch id as its parameter",
    multicast=100,
)


def stand_in() -> StandIn:
    """Return Meizu's push without an app; its limits do not count the pushId."""
    return StandIn(MeizuAdapter("10000", "stand-in"), "J" + "0" * 44)


def open_provider(config: ChannelConfig) -> Provider:
    """Return Meizu's push for an app."""
    account = load_credentials(config, ("app_id", "app_secret"))
    callback = str(account["callback"]) if account.get("callback") else None
    if callback is not None and len(callback.encode()) > CALLBACK_BYTES:
        raise InvalidInput(
            f"the callback of the meizu credentials is longer than {CALLBACK_BYTES} bytes",
            fix="shorten its key or path",
        )
    adapter = MeizuAdapter(
        str(account["app_id"]),
        str(account["app_secret"]),
        is_private=account.get("is_private") is True,
        callback=callback,
    )
    url = config.base_url or BASE_URL
    return Provider(adapter, url, None, concurrency=32, open_transport=pooled(url))

"""Honor push: a row's address is a push token.

`ANGELIA_HONOR_CREDENTIALS` names a JSON file with `app_id`, `client_id` and `client_secret`; optional
`importance` (`NORMAL` for services that Honor has granted it; else `LOW`, marketing) and `token_url`.
Surprise: what decides is `sendResult` and the lists of tokens in the answer; Honor's page of response codes
could not be read, so a code has no meaning of its own here.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from urllib.parse import quote, urlencode, urlsplit

from angelia.delivery.channels.answers import STATUSES, judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    GONE,
    REJECTED,
    Capabilities,
    ChannelConfig,
    Message,
    Provider,
    StandIn,
    Verdict,
    load_credentials,
    require_size,
)
from angelia.delivery.channels.by_class import CLASSES, ClassSetting, for_class, read_setting
from angelia.delivery.channels.tokens import Issued, IssuedToken, json_object, pooled
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request

# Source: Honor's own article (my.oschina.net/u/5873522/blog/10140231) and the structures of its page
# "downlink message" (developer.honor.com/cn/docs/11002/reference/downlink-message) in four server programs
# (juggleim/im-server, liyouping/pushapi, cossim/hipush), read 2026-11-28: addresses, headers, fields, ttl.
BASE_URL, TOKEN_URL = "https://push-api.cloud.honor.com", "https://iam.developer.honor.com/auth/token"
TTL_MAX_S = 1_296_000
# Of the JSON without the token, as Huawei's, whose interface Honor's was made from; Honor's own is not known.
PAYLOAD_LIMIT = 4096
# A token of ours that is over; the list in the answer that names the one push token -> meaning.
TOKEN_STATUSES: dict[int, str] = {**STATUSES, 401: AUTH}
ERRORS: dict[str, str] = {"expireTokens": GONE, "failTokens": REJECTED}


class HonorAdapter:
    """Builds notifications of one app."""

    def __init__(
        self, app_id: str, importance: ClassSetting = None, now: Callable[[], float] = time.time
    ) -> None:
        self._path = f"/api/v1/{quote(app_id, safe='')}/sendMessage".encode()
        self._headers = ((b"content-type", b"application/json"),)
        self._importance, self._now = importance, now

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`. The dispatch id comes back in receipts as `biTag`."""
        data = {"dispatch_id": message.dispatch_id, **({"link": message.link} if message.link else {})}
        action: dict[str, object] = {"type": 3}  # opens the app; a page of the web must be https
        if message.link and message.link.startswith("https://"):
            action = {"type": 2, "url": message.link}
        notification: dict[str, object] = {
            "title": message.title,
            "body": message.body,
            "clickAction": action,
            "importance": for_class(self._importance, message.wire_class) or "LOW",
        }
        if message.collapse_key:
            # A later notification with the same id replaces the one that is shown.
            notification["notifyId"] = zlib.crc32(message.collapse_key.encode()) & 0x7FFFFFFF
        android = {
            "ttl": f"{min(max(message.ttl_s, 1), TTL_MAX_S)}s",
            "biTag": message.dispatch_id,
            "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
            "notification": notification,
        }
        text = json.dumps({"android": android}, ensure_ascii=False, separators=(",", ":"))
        require_size(len(text.encode()), PAYLOAD_LIMIT)
        token = json.dumps([message.address], ensure_ascii=False)
        at = str(int(self._now() * 1000)).encode()
        body = f'{text[:-1]},"token":{token}}}'.encode()
        return Request(self._path, self._headers, body, ((b"timestamp", at),))

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        data = document.get("data")
        data = data if isinstance(data, dict) else {}
        for name, kind in ERRORS.items():
            if data.get(name):
                return Verdict(kind, name)
        if data.get("sendResult") is True and answer.status == 200:
            return Verdict(ACCEPTED, None, provider_id(data.get("requestId")))
        return judge(answer, document.get("code"), {}, TOKEN_STATUSES)


CAPABILITIES = Capabilities(
    address="push token",
    limit=f"{PAYLOAD_LIMIT:,} bytes of JSON without the token (Huawei's; Honor's is not known)",
    collapse="notifyId, a checksum of the collapse key",
    ttl=f"android.ttl, at most {TTL_MAX_S // 86_400} days",
    receipts="receipt URL of the console (biTag), not taken",
    multicast=None,
)


def stand_in() -> StandIn:
    """Return Honor's push without an app; its limit does not count the token."""
    return StandIn(HonorAdapter("stand-in"), "t" * 130)


def open_provider(config: ChannelConfig) -> Provider:
    """Return Honor's push for an app."""
    account = load_credentials(config, ("app_id", "client_id", "client_secret"))
    importance = read_setting(config, account, "importance")
    if not {for_class(importance, kind) for kind in CLASSES} <= {None, "LOW", "NORMAL"}:
        raise InvalidInput(
            f"channel {config.channel} has an unknown importance", fix="write LOW (marketing) or NORMAL"
        )
    secrets = {"grant_type": "client_credentials"}
    secrets |= {name: str(account[name]) for name in ("client_id", "client_secret")}
    # Another base address, such as the sandbox's, gives out the tokens as well.
    token_url = urlsplit(str(account.get("token_url") or TOKEN_URL))
    base = config.base_url or f"{token_url.scheme}://{token_url.netloc}"
    form = ((b"content-type", b"application/x-www-form-urlencoded"),)
    request = Request(token_url.path.encode(), form, urlencode(secrets).encode())

    def read(document: dict[str, object]) -> Issued:
        return Issued(document.get("access_token"), document.get("expires_in"), document.get("error"))

    token = IssuedToken(base, lambda _: ("POST", request), read, prefix="Bearer ", ca_file=config.ca_file)
    url = config.base_url or BASE_URL
    adapter = HonorAdapter(str(account["app_id"]), importance)
    return Provider(adapter, url, token, concurrency=32, open_transport=pooled(url))

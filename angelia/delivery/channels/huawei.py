"""Huawei Push Kit, API v3 (HarmonyOS): a row's address is a push token.

`ANGELIA_HUAWEI_CREDENTIALS` names the service account's key file (JSON with `project_id`, `key_id`,
`private_key`, `sub_account`); optional `category` (default MARKETING, which needs no permission) and
`receipt_id`. The token is signed here (PS256) and asked for nowhere. Surprise: failures come with HTTP 200.
"""

from __future__ import annotations

import json
import zlib
from urllib.parse import quote

import jwt

from angelia.delivery.channels.answers import judge
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    GONE,
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
from angelia.delivery.channels.by_class import ClassSetting, for_class, read_setting
from angelia.delivery.channels.token_lists import HUAWEI_MOST, HuaweiLists, by_lists, naming
from angelia.delivery.channels.tokens import SignedToken, json_object, per_request
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request

BASE_URL = "https://push-api.cloud.huawei.com"
AUDIENCE = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"
TOKEN_LIFE_S = 3600  # developer.huawei.com, "Generating a JWT Based on a Service Account", read 2026-11-28
# Source: developer.huawei.com, "Sending Messages" (4,096 bytes without the token) and "Request Body
# Parameters" (ttl at most 15 days, biTag at most 64 bytes), read 2026-11-28.
PAYLOAD_LIMIT, TTL_MAX_S = 4096, 1_296_000
# Code in the body -> meaning. Source: developer.huawei.com, "Response Parameters" of scenario-specific
# messages, read 2026-11-28, and its "six most common errors" at segmentfault.com/a/1190000042188975.
SUCCESS = "80000000"
ERRORS: dict[str, str] = {
    "80100000": REJECTED, "80100003": REJECTED, "80100016": REJECTED, "80200001": AUTH, "80200003": AUTH,
    "80300007": GONE, "80300010": REJECTED,
}  # fmt: skip
STATUSES: dict[int, str] = {
    400: REJECTED, 401: AUTH, 404: HALT, 500: RETRY, 502: RETRY, 503: THROTTLED, 504: RETRY,
}  # fmt: skip
# Why a token was refused (`illegalTokens` in `msg`) -> meaning; all but the format speak of the app, its
# rights or its penalties, and close no address. Same source.
TOKEN_ERRORS: dict[str, str] = {
    "tokenFormatError": REJECTED, "countryNotSupport": REJECTED, "tokenPlatformNotSupport": REJECTED,
    "noPushTypeRight": HALT, "noRight": HALT, "appinfoError": HALT,
    "disableSendHuaweiMsgBecauseOfPenalty": HALT,
}  # fmt: skip


class ServiceToken(SignedToken):
    """The PS256 token of a service account, made on this machine and kept for 50 minutes."""

    kept_s = TOKEN_LIFE_S - 600

    async def refresh(self, stale: bytes | None) -> None:
        """See `Credentials.refresh`."""
        now = int(self._now())
        claims = {"iss": self._account["sub_account"], "aud": AUDIENCE, "iat": now, "exp": now + TOKEN_LIFE_S}
        key, kid = self._account["private_key"], self._account["key_id"]
        try:
            token = jwt.encode(claims, key, algorithm="PS256", headers={"kid": kid})
        except (ValueError, TypeError, jwt.PyJWTError):
            raise InvalidInput(
                "the Huawei service account's private key is unusable", fix="download its key file again"
            ) from None
        self._header, self._made = f"Bearer {token}".encode(), self._now()


class HuaweiAdapter:
    """Builds notification messages of one project."""

    def __init__(
        self,
        project_id: str,
        category: ClassSetting = None,
        receipt_id: str | None = None,
        *,
        by_list: bool = False,
    ) -> None:
        self._path = f"/v3/{quote(project_id, safe='')}/messages:send".encode()
        self._headers = ((b"content-type", b"application/json"), (b"push-type", b"0"))
        self._category, self._receipt, self.by_list = category, receipt_id, by_list

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`. What names the message comes back in receipts as `biTag`."""
        name = naming(message, by_list=self.by_list)
        data = name | ({"link": message.link} if message.link else {})
        notification: dict[str, object] = {
            "category": for_class(self._category, message.wire_class) or "MARKETING",
            "title": message.title,
            "body": message.body,
            "clickAction": {"actionType": 0, "data": data},
        }
        if message.collapse_key:
            # A later notification with the same id replaces the one that is shown.
            notification["notifyId"] = zlib.crc32(message.collapse_key.encode()) & 0x7FFFFFFF
        (tag,) = name.values()
        options: dict[str, object] = {"ttl": min(max(message.ttl_s, 1), TTL_MAX_S), "biTag": tag}
        if self._receipt:
            options["receiptId"] = self._receipt
        document = {"payload": {"notification": notification}, "pushOptions": options}
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        require_size(len(text.encode()), PAYLOAD_LIMIT)
        target = json.dumps({"token": [message.address]}, ensure_ascii=False, separators=(",", ":"))
        return Request(self._path, self._headers, f'{text[:-1]},"target":{target}}}'.encode())

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, number = document.get("code"), document.get("requestId")
        if code == SUCCESS and answer.status == 200:
            return Verdict(ACCEPTED, None, number if isinstance(number, str) else None)
        why = _refused_token(document.get("msg"))
        if why:
            return Verdict(TOKEN_ERRORS.get(why, REJECTED), f"{code}.{why}")
        return judge(answer, code, ERRORS, STATUSES)


def _refused_token(text: object) -> str | None:
    """Return why a row's token was refused, if its answer says so."""
    try:
        refused = json.loads(text)["illegalTokens"] if isinstance(text, str) else None
    except (ValueError, KeyError, TypeError):
        return None
    return next(iter(refused), None) if isinstance(refused, dict) else None


CAPABILITIES = Capabilities(
    address="push token",
    limit=f"{PAYLOAD_LIMIT:,} bytes of JSON without the token",
    collapse="notifyId, a checksum of the collapse key",
    ttl=f"pushOptions.ttl, at most {TTL_MAX_S // 86_400} days",
    receipts="receipt URL of the console (receiptId), with the dispatch id as biTag",
    multicast=HUAWEI_MOST,
)


def stand_in() -> StandIn:
    """Return Push Kit without a project; its limit does not count the token."""
    return StandIn(HuaweiAdapter("stand-in"), "t" * 130)


def open_provider(config: ChannelConfig) -> Provider:
    """Return Push Kit for a service account."""
    account = load_credentials(config, ("project_id", "key_id", "private_key", "sub_account"))
    receipt = str(account["receipt_id"]) if account.get("receipt_id") else None
    category, most = read_setting(config, account, "category"), per_request(config, account, HUAWEI_MOST)
    adapter, other = (
        HuaweiAdapter(str(account["project_id"]), category, receipt, by_list=by_list)
        for by_list in (most > 1, most == 1)
    )
    url = config.base_url or BASE_URL
    rows, opened = by_lists(url, HuaweiLists(), most)
    token = ServiceToken(account)
    return Provider(
        adapter,
        url,
        token,
        concurrency=rows,
        open_transport=opened,
        sends_lists=adapter.by_list,
        other_form=other,
    )

"""What WeChat's two kinds of message share: the token, the fields of a template, the codes.

Mini-programs' subscribe messages are `wechat_subscribe.py`, service accounts' template messages
`wechat_template.py`. A channel sends by one template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from angelia.delivery.channels.answers import judge, provider_id
from angelia.delivery.channels.base import (
    ACCEPTED,
    AUTH,
    GONE,
    HALT,
    OPTED_OUT,
    REJECTED,
    RETRY,
    SPENT,
    THROTTLED,
    ChannelConfig,
    Message,
    Provider,
    Verdict,
    load_credentials,
    require_size,
)
from angelia.delivery.channels.tokens import IssuedToken, errcode_token, json_object, pooled, require_id
from angelia.errors import InvalidInput
from angelia.transport.pooled_http import QUERY, TokenPlace
from angelia.transport.wire import Answer, Request

BASE_URL = "https://api.weixin.qq.com"
# The stable token is the same for everybody until it ends; /cgi-bin/token would end the others' at each
# question. Source: developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken, read 2026-11-28.
TOKEN_PATH = b"/cgi-bin/stable_token"
# `errcode` -> meaning. Source: developers.weixin.qq.com/minigame/dev/api-backend/open-api/subscribe-message
# (40003, 40037, 41030, 43101, 47003), tencentcloud.com/document/product/1219/67648 (40001, 40014, 40038,
# 43107, 43108, 45168), blog.csdn.net/u012917925/article/details/136376683 (-1, 40013, 40164, 42001, 45009,
# 45011, 48001, 48004, 50002, 61004), .../weixin_33698823/article/details/94072620 (43004), read 2026-11-28.
# 43101 and 43004 (no longer a follower) are the person's word about this channel, not about the address.
ERRORS: dict[str, str] = {
    "-1": RETRY, "40001": AUTH, "40003": GONE, "40013": HALT, "40014": AUTH, "40037": HALT, "40038": REJECTED,
    "40164": HALT, "41001": AUTH, "41030": REJECTED, "42001": AUTH, "43004": OPTED_OUT, "43101": OPTED_OUT,
    "43107": HALT, "43108": RETRY, "45009": SPENT, "45011": THROTTLED, "45168": REJECTED, "47003": REJECTED,
    "48001": HALT, "48004": HALT, "50002": REJECTED, "61004": HALT,
}  # fmt: skip
# Characters of a field by its kind, which is its name without the number. Source: "limits of the values of
# subscribe messages", as at www.cnblogs.com/AtlasLapetos/p/18640979, read 2026-11-28. Of other kinds (dates,
# amounts, the `keyword1` of old templates) WeChat judges the form itself (47003); their bound is ours.
FIELD_CHARS: dict[str, int] = {
    "thing": 20, "number": 32, "letter": 32, "symbol": 5, "character_string": 32, "phrase": 5, "name": 10,
}  # fmt: skip
OTHER_CHARS = 200
_OPENID = re.compile(r"[A-Za-z0-9_-]{4,64}")


class MessageTemplate(NamedTuple):
    """A template, and which of its fields show what."""

    id: str
    title: str
    body: str
    constants: Mapping[str, str]


class WechatAdapter:
    """Builds messages by one template; `link_of` gives the fields of where a tap leads."""

    def __init__(
        self, path: bytes, template: MessageTemplate, link_of: Callable[[str | None], dict[str, object]]
    ) -> None:
        self._path, self._template, self._link_of = path, template, link_of
        self._headers = ((b"content-type", b"application/json"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        template = self._template
        values = {**template.constants, template.title: message.title, template.body: message.body}
        for name, text in values.items():
            limit = FIELD_CHARS.get(name.rstrip("0123456789"), OTHER_CHARS)
            require_size(len(text), limit, f"characters of {name}")
        document: dict[str, object] = {
            "touser": require_id(_OPENID, message.address),
            "template_id": template.id,
            "data": {name: {"value": text} for name, text in values.items()},
            **self._link_of(message.link),
        }
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Request(self._path, self._headers, body)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code = document.get("errcode")
        if code == 0 and code is not False and answer.status == 200:
            return Verdict(ACCEPTED, None, provider_id(document.get("msgid")))
        return judge(answer, code, ERRORS)


def open_template(
    config: ChannelConfig, adapter: Callable[[MessageTemplate, Mapping[str, object]], WechatAdapter]
) -> Provider:
    """Return an app's messages by the template that its file names.

    Raises:
        InvalidInput: the file lacks something, or its fields are none.
    """
    account = load_credentials(config, ("app_id", "app_secret", "template_id", "fields"))
    fields, constants = account["fields"], account.get("constants") or {}
    is_named = isinstance(fields, dict) and {"title", "body"} <= fields.keys() and isinstance(constants, dict)
    if not is_named:
        raise InvalidInput(
            f"channel {config.channel}: the fields of the template are not named",
            fix='write "fields": {"title": "thing1", "body": "thing2"} into its credentials file',
        )
    template = MessageTemplate(
        str(account["template_id"]),
        str(fields["title"]),
        str(fields["body"]),
        {str(name): str(text) for name, text in constants.items()},
    )
    secrets = {"grant_type": "client_credential"}
    secrets |= {"appid": str(account["app_id"]), "secret": str(account["app_secret"])}
    content = json.dumps(secrets, separators=(",", ":")).encode()
    request = Request(TOKEN_PATH, ((b"content-type", b"application/json"),), content)
    url = config.base_url or BASE_URL
    token = IssuedToken(url, lambda _: ("POST", request), errcode_token, ca_file=config.ca_file)
    place = TokenPlace(QUERY, "access_token")
    return Provider(adapter(template, account), url, token, concurrency=32, open_transport=pooled(url, place))

"""DingTalk work notifications: a row's address is an employee's userid in the organisation.

`ANGELIA_DINGTALK_CREDENTIALS` names a JSON file with `app_key`, `app_secret` and `agent_id`. Surprise:
DingTalk takes a message and decides later; beyond its limits (500 a day for one employee, equal content once
a day) it answers success and shows nothing. So `accepted` means here that DingTalk took the message, no more.
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

BASE_URL = "https://oapi.dingtalk.com"
TOKEN_PATH, PATH = "/gettoken", b"/topapi/message/corpconversation/asyncsend_v2"
# Source: open-doc.dingtalk.com/microapp/serverapi2/pgoxpy (`msg` at most 2,048 bytes), read 2026-11-28.
TEXT_LIMIT = 2048
# `errcode` (or `sub_code` of 88) -> meaning. Source: help.dingtalk.io, "asynchronous sending of enterprise
# session messages"; zidingyi.apifox.cn/api-37157310 (1431xx); blog.csdn.net/Gjqhs/article/details/122913469
# (-1, 88, 33012); read 2026-11-28. 40014 and 42001 (token) are those of docs/reference/channels.md.
ERRORS: dict[str, str] = {
    "-1": RETRY, "33001": HALT, "33012": REJECTED, "40014": AUTH, "42001": AUTH, "88": HALT, "404": HALT,
    "143103": THROTTLED, "143104": THROTTLED, "143105": REJECTED, "143106": REJECTED, "143203": THROTTLED,
    "143204": THROTTLED, "143205": REJECTED, "143206": REJECTED, "1430000": REJECTED, "1430002": REJECTED,
    "1430003": THROTTLED, "1430004": REJECTED,
}  # fmt: skip
_USER = re.compile(r"[^\s,]{1,64}")  # a list of several is separated by commas


class DingtalkAdapter:
    """Builds work notifications of one application."""

    def __init__(self, agent_id: int) -> None:
        self._agent = agent_id
        self._headers = ((b"content-type", b"application/json"),)

    def build_request(self, message: Message) -> Request:
        """See `Adapter.build_request`."""
        user = require_id(_USER, message.address)
        text = {"msgtype": "text", "text": {"content": plain_text(message)}}
        require_size(len(json.dumps(text, ensure_ascii=False, separators=(",", ":")).encode()), TEXT_LIMIT)
        document = {"agent_id": self._agent, "userid_list": user, "to_all_user": False, "msg": text}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Request(PATH, self._headers, body)

    def classify(self, answer: Answer) -> Verdict:
        """See `Adapter.classify`."""
        document = json_object(answer)
        code, task = document.get("errcode"), document.get("task_id")
        if code == 0 and code is not False:
            return Verdict(ACCEPTED, None, str(task) if isinstance(task, int) else None)
        if code == 88:
            word = str(document.get("sub_code") or code)
            return Verdict(ERRORS.get(word, HALT), word)
        return judge(answer, code, ERRORS)


CAPABILITIES = Capabilities(
    address="userid of an employee",
    limit=f"{TEXT_LIMIT:,} bytes of msg",
    collapse=None,
    ttl=None,
    receipts="getsendresult, not asked for",
    multicast=5000,
)


def stand_in() -> StandIn:
    """Return DingTalk without an organisation; its limit does not count the employee."""
    return StandIn(DingtalkAdapter(1), "u" * 64)


def open_provider(config: ChannelConfig) -> Provider:
    """Return an application of an organisation."""
    return open_application(
        config, DingtalkAdapter, BASE_URL, TOKEN_PATH, {"appkey": "app_key", "appsecret": "app_secret"}
    )

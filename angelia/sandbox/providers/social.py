"""WeChat's and QQ's side: tokens, template messages, a bot's messages.

Sources of the shapes: those named in `angelia.delivery.channels`' modules of the same names. None of them
carries an id of ours, so the phones know a message by a hash of its recipient and text.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path
from urllib.parse import parse_qs

from angelia.delivery.channels import wechat, wechat_subscribe, wechat_template
from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.tokens import TOKEN_LIFE_S, TokenSandbox, coded
from angelia.sandbox.rules import Rules

_TEMPLATE = "sandbox-template"


def name_of(recipient: str, text: str) -> str:
    """Return what stands for a dispatch id that a message does not carry."""
    return hashlib.sha256(f"{recipient}\0{text}".encode()).hexdigest()[:32]


class WechatSandbox(TokenSandbox):
    """Answers `POST /cgi-bin/message/subscribe/send` and `POST /cgi-bin/message/template/send`."""

    paths = (wechat.TOKEN_PATH, b"/cgi-bin/message/subscribe/", b"/cgi-bin/message/template/")
    channel, token_path, send_path = "wechat_subscribe", wechat.TOKEN_PATH, b"/cgi-bin/message/"

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        account = {"app_id": "wx" + secrets.token_hex(8), "app_secret": secrets.token_hex(16)}
        super().__init__(folder, phones, rules, account)
        whole = {**account, "template_id": _TEMPLATE, "fields": {"title": "keyword1", "body": "keyword2"}}
        for name in ("wechat_subscribe", "wechat_template"):
            write_account(folder / f"{name}.json", whole)

    def may_have_token(self, body: bytes) -> bool:
        """See `TokenSandbox.may_have_token`."""
        given = json.loads(body)
        is_known = hmac.compare_digest(given["secret"], self.account["app_secret"])
        return (
            given["grant_type"] == "client_credential"
            and given["appid"] == self.account["app_id"]
            and is_known
        )

    def granted(self, token: str | None) -> dict[str, object]:
        """See `TokenSandbox.granted`."""
        if token is None:
            return {"errcode": 40001, "errmsg": "invalid credential"}
        return {"access_token": token, "expires_in": TOKEN_LIFE_S}

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """See `TokenSandbox.take`."""
        bare, _, query = path.partition(b"?")
        token = parse_qs(query.decode("latin-1")).get("access_token", [""])[0]
        if not self.is_current(token):
            return self.refused(200, "wechat_42001", {"errcode": 42001, "errmsg": "access_token expired"})
        given = json.loads(body)
        title, text = given["data"]["keyword1"]["value"], given["data"]["keyword2"]["value"]
        if bare not in (wechat_subscribe.PATH, wechat_template.PATH) or given["template_id"] != _TEMPLATE:
            raise ValueError
        if bare == wechat_subscribe.PATH and given["miniprogram_state"] not in (
            "formal",
            "trial",
            "developer",
        ):
            raise ValueError
        done = {"errcode": 0, "errmsg": "ok", "msgid": secrets.randbelow(1 << 40)}
        accepted, user = Reply(200, json.dumps(done).encode()), given["touser"]
        return self.serve(name_of(user, f"{title}\0{text}"), user, title, text, accepted, coded("errcode"))

    def malformed(self) -> Reply:
        """See `TokenSandbox.malformed`."""
        return self.refused(200, "wechat_47003", {"errcode": 47003, "errmsg": "argument invalid!"})


class QqBotSandbox(TokenSandbox):
    """Answers `POST /v2/users/{openid}/messages`."""

    paths = (b"/app/getAppAccessToken", b"/v2/users/")
    channel, token_path, send_path = "qq_bot", b"/app/getAppAccessToken", b"/v2/users/"

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        account = {"app_id": "102000000", "client_secret": secrets.token_urlsafe(24)}
        super().__init__(folder, phones, rules, account)

    def may_have_token(self, body: bytes) -> bool:
        """See `TokenSandbox.may_have_token`."""
        given = json.loads(body)
        is_known = hmac.compare_digest(given["clientSecret"], self.account["client_secret"])
        return given["appId"] == self.account["app_id"] and is_known

    def granted(self, token: str | None) -> dict[str, object]:
        """See `TokenSandbox.granted`. The life is a text, as QQ writes it."""
        if token is None:
            return {"code": 100016, "message": "invalid appid or secret"}
        return {"access_token": token, "expires_in": str(TOKEN_LIFE_S)}

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """See `TokenSandbox.take`."""
        kind, _, token = authorization.decode("latin-1").partition(" ")
        if kind != "QQBot" or not self.is_current(token):
            return self.refused(401, "qq_bot_token", {"code": 11243, "message": "Refused."})
        place = re.fullmatch(rb"/v2/users/([A-Za-z0-9_-]+)/messages", path)
        given = json.loads(body)
        if place is None or given["msg_type"] != 0 or not given["content"].strip():
            raise ValueError
        user, text = place[1].decode(), given["content"]
        done = {"id": f"ROBOT1.0_{secrets.token_urlsafe(12)}", "timestamp": "2026-11-28T18:00:00+08:00"}
        accepted = Reply(200, json.dumps(done).encode())
        return self.serve(name_of(user, text), user, "", text, accepted, coded("code"))

    def malformed(self) -> Reply:
        """See `TokenSandbox.malformed`."""
        return self.refused(400, "qq_bot_malformed", {"code": 12002, "message": "Refused."})

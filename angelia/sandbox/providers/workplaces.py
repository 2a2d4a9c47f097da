"""WeCom's and DingTalk's side of the wire: the token endpoint, and messages to members.

Sources of the shapes: those named in `angelia.delivery.channels`' modules of the same names. Neither carries
an id of ours, so the phones know a message by a hash of its recipient and text.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from urllib.parse import parse_qs

from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

AGENT = 1_000_002
_TOKEN_LIFE_S = 7200


class WorkplaceSandbox(ProviderSandbox):
    """Gives out a token for an app's secret, and takes messages with it in the query."""

    channel, token_path, send_path = "", b"", b""
    names: tuple[str, str] = ("", "")  # of the app's id and secret, in the token's query
    fields: tuple[str, str] = ("", "")  # the same in the credentials file

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        self._id, self._secret = "sandbox", secrets.token_urlsafe(18)
        account = {self.fields[0]: self._id, self.fields[1]: self._secret, "agent_id": AGENT}
        write_account(folder / f"{self.channel}.json", account)
        self._token, self._ends = "", 0.0

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        bare, _, query = path.partition(b"?")
        given = {name: values[0] for name, values in parse_qs(query.decode("latin-1")).items()}
        if bare == self.token_path and method == b"GET":
            return self._give_token(given)
        self.phones.n_requests += 1
        if bare != self.send_path or method != b"POST":
            return self.refused(404, f"{self.channel}_path", {})
        token = given.get("access_token", "")
        if not self._token or not hmac.compare_digest(token.encode(), self._token.encode()):
            return self._error(40014)
        if time.monotonic() > self._ends:
            return self._error(42001)
        try:
            user, text = self.message(json.loads(body))
        except (ValueError, KeyError, TypeError):
            return self._error(40035)
        name = hashlib.sha256(f"{user}\0{text}".encode()).hexdigest()[:32]
        return self.serve(name, user, "", text, Reply(200, json.dumps(self.done()).encode()), self.failed)

    def message(self, document: dict[str, object]) -> tuple[str, str]:
        """Return recipient and text. Raises: ValueError, KeyError, TypeError."""
        raise NotImplementedError

    def done(self) -> dict[str, object]:
        """Return the answer of success."""
        raise NotImplementedError

    def failed(self, then: Then) -> Reply:
        """Return the provider's answer for a rule."""
        if not then.error:
            return Reply(then.status, b"")
        return Reply(then.status, json.dumps({"errcode": int(then.error), "errmsg": "Scripted."}).encode())

    def _give_token(self, given: dict[str, str]) -> Reply:
        secret = given.get(self.names[1], "")
        if given.get(self.names[0]) != self._id or not hmac.compare_digest(secret, self._secret):
            self.phones.outcomes["token_refused"] += 1
            return Reply(200, json.dumps({"errcode": 40001, "errmsg": "invalid credential"}).encode())
        if time.monotonic() > self._ends:
            self._token, self._ends = secrets.token_urlsafe(32), time.monotonic() + _TOKEN_LIFE_S
        self.phones.outcomes["token_granted"] += 1
        document = {"errcode": 0, "errmsg": "ok", "access_token": self._token, "expires_in": _TOKEN_LIFE_S}
        return Reply(200, json.dumps(document).encode())

    def _error(self, code: int) -> Reply:
        self.phones.outcomes[f"{self.channel}_{code}"] += 1
        return Reply(200, json.dumps({"errcode": code, "errmsg": "Refused."}).encode())


class WecomSandbox(WorkplaceSandbox):
    """Answers `POST /cgi-bin/message/send`."""

    paths = (b"/cgi-bin/",)
    channel, token_path, send_path = "wecom", b"/cgi-bin/gettoken", b"/cgi-bin/message/send"
    names, fields = ("corpid", "corpsecret"), ("corp_id", "secret")

    def message(self, document: dict[str, object]) -> tuple[str, str]:
        """See `WorkplaceSandbox.message`."""
        kind, user = document["msgtype"], document["touser"]
        content = document[str(kind)]
        if document["agentid"] != AGENT or kind not in ("text", "textcard") or not isinstance(content, dict):
            raise ValueError
        text = content["content"] if kind == "text" else f"{content['title']}\n{content['description']}"
        if not isinstance(user, str) or len(text.encode()) > 2048:
            raise ValueError
        return user, text

    def done(self) -> dict[str, object]:
        """See `WorkplaceSandbox.done`."""
        return {"errcode": 0, "errmsg": "ok", "invaliduser": "", "msgid": secrets.token_urlsafe(16)}


class DingtalkSandbox(WorkplaceSandbox):
    """Answers `POST /topapi/message/corpconversation/asyncsend_v2`."""

    paths = (b"/gettoken", b"/topapi/")
    channel, token_path = "dingtalk", b"/gettoken"
    send_path = b"/topapi/message/corpconversation/asyncsend_v2"
    names, fields = ("appkey", "appsecret"), ("app_key", "app_secret")

    def message(self, document: dict[str, object]) -> tuple[str, str]:
        """See `WorkplaceSandbox.message`."""
        content, user = document["msg"], document["userid_list"]
        if document["agent_id"] != AGENT or not isinstance(user, str) or not isinstance(content, dict):
            raise ValueError
        if len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()) > 2048:
            raise ValueError
        return user, str(content["text"]["content"])

    def done(self) -> dict[str, object]:
        """See `WorkplaceSandbox.done`."""
        return {"errcode": 0, "errmsg": "ok", "task_id": secrets.randbelow(1 << 40), "request_id": "1"}

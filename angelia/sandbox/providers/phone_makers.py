"""OPPO's, vivo's, Honor's and Meizu's side: tokens and messages.

Sources of the shapes: those named in `angelia.delivery.channels`' modules of the same names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

from angelia.delivery.channels import honor, meizu, oppo, oppo_batch, vivo
from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.providers.tokens import TOKEN_LIFE_S, TokenSandbox, coded, form_of, is_fresh
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers


class OppoSandbox(TokenSandbox):
    """Answers `POST /server/v1/message/notification/unicast`, and `…/unicast_batch`."""

    paths = (b"/server/v1/",)
    channel, token_path, send_path = "oppo", oppo.TOKEN_PATH, oppo.PATH

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        account = {"app_key": secrets.token_hex(16), "master_secret": secrets.token_hex(16)}
        super().__init__(folder, phones, rules, account)
        # Rules are for single messages; a test of batches asks for more.
        write_account(folder / "oppo.json", {**account, "per_request": 1})

    def may_have_token(self, body: bytes) -> bool:
        """See `TokenSandbox.may_have_token`."""
        form, key = form_of(body), self.account["app_key"]
        text = f"{key}{form['timestamp']}{self.account['master_secret']}"
        wanted = hashlib.sha256(text.encode()).hexdigest()
        is_signed = hmac.compare_digest(form["sign"], wanted)
        return form["app_key"] == key and is_signed and is_fresh(form["timestamp"])

    def granted(self, token: str | None) -> dict[str, object]:
        """See `TokenSandbox.granted`."""
        if token is None:
            return {"code": 16, "message": "Invalid Signature"}
        return {"code": 0, "message": "Success", "data": {"auth_token": token, "create_time": 1}}

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """See `TokenSandbox.take`."""
        form = form_of(body)
        if not self.is_current(form.get("auth_token", "")):
            return self.refused(200, "oppo_11", {"code": 11, "message": "Invalid AuthToken"})
        if path != oppo_batch.PATH:
            return self._one(json.loads(form["message"]))
        messages, listed, fate = json.loads(form["messages"]), [], None
        if not 1 <= len(messages) <= oppo_batch.MOST:
            raise ValueError
        for message in messages:
            reply = self._one(message)
            own = json.loads(reply.body or b"{}")
            code = own.get("code", -1)
            item = {"registrationId": message["target_value"], **own.get("data", {})}
            listed.append(item if code == 0 else {**item, "errorCode": code})
            # An answer that is lost is lost for all.
            if reply.then is not None and (reply.then.reset or reply.then.silent):
                fate = reply.then
        done = {"code": 0, "message": "Success", "data": listed}
        return Reply(200, json.dumps(done).encode(), then=fate)

    def _one(self, message: dict[str, Any]) -> Reply:
        note, target = message["notification"], message["target_value"]
        if message["target_type"] != 2 or not 1 <= note["off_line_ttl"] <= 864_000:
            raise ValueError
        if not 0 < len(note["title"]) <= 50 or not 0 < len(note["content"]) <= 50:
            raise ValueError
        dispatch = json.loads(note["action_parameters"])["dispatch_id"]
        done = {"code": 0, "message": "Success", "data": {"messageId": secrets.token_hex(12)}}
        accepted = Reply(200, json.dumps(done).encode())
        return self.serve(dispatch, target, note["title"], note["content"], accepted, coded("code"))

    def malformed(self) -> Reply:
        """See `TokenSandbox.malformed`."""
        return self.refused(200, "oppo_41", {"code": 41, "message": "Invalid Arguments"})


class VivoSandbox(TokenSandbox):
    """Answers `POST /message/send`."""

    paths = (b"/message/",)
    channel, token_path, send_path = "vivo", vivo.TOKEN_PATH, vivo.PATH

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        account = {"app_id": "10004", "app_key": secrets.token_hex(16), "app_secret": secrets.token_hex(16)}
        super().__init__(folder, phones, rules, account)

    def may_have_token(self, body: bytes) -> bool:
        """See `TokenSandbox.may_have_token`."""
        given, own = json.loads(body), self.account
        text = f"{own['app_id']}{own['app_key']}{given['timestamp']}{own['app_secret']}"
        wanted = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        is_app = (given["appId"], given["appKey"]) == (int(own["app_id"]), own["app_key"])
        return is_app and hmac.compare_digest(given["sign"], wanted) and is_fresh(given["timestamp"])

    def granted(self, token: str | None) -> dict[str, object]:
        """See `TokenSandbox.granted`."""
        if token is None:
            return {"result": 10205, "desc": "Refused."}
        return {"result": 0, "desc": "ok", "authToken": token}

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """See `TokenSandbox.take`."""
        if not self.is_current(headers.get(b"authtoken", b"").decode("latin-1")):
            return self.refused(200, "vivo_10000", {"result": 10000, "desc": "Refused."})
        given = json.loads(body)
        if given["appId"] != int(self.account["app_id"]):
            return self.refused(200, "vivo_10094", {"result": 10094, "desc": "Refused."})
        if not 60 <= given["timeToLive"] <= 604_800 or len(given["requestId"]) > 64:
            raise ValueError
        if given["skipType"] == 2 and not given["skipContent"]:
            raise ValueError
        title, text = given["title"], given["content"]
        done = {"result": 0, "desc": "ok", "taskId": str(secrets.randbelow(1 << 40))}
        accepted = Reply(200, json.dumps(done).encode())
        dispatch, target = given["clientCustomMap"]["dispatch_id"], given["regId"]
        return self.serve(dispatch, target, title, text, accepted, lambda then: _vivo(then, target))

    def malformed(self) -> Reply:
        """See `TokenSandbox.malformed`."""
        return self.refused(200, "vivo_malformed", {"result": 10030, "desc": "Refused."})


def _vivo(then: Then, target: str) -> Reply:
    """Return a failure; `10302.3` names the address with that status, as vivo does."""
    code, _, status = (then.error or "").partition(".")
    document: dict[str, object] = {"result": int(code), "desc": "Scripted."} if code else {}
    if status:
        document["invalidUser"] = {"status": int(status), "userid": target}
    return Reply(then.status, json.dumps(document).encode())


class HonorSandbox(TokenSandbox):
    """Answers `POST /api/v1/{app}/sendMessage`."""

    paths = (b"/auth/token", b"/api/v1/")
    channel, token_path, send_path = "honor", b"/auth/token", b"/api/v1/sandbox-project/sendMessage"

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        keys = {"client_id": secrets.token_hex(8), "client_secret": secrets.token_urlsafe(24)}
        super().__init__(folder, phones, rules, {"app_id": "sandbox-project", **keys})

    def may_have_token(self, body: bytes) -> bool:
        """See `TokenSandbox.may_have_token`."""
        form = form_of(body)
        is_known = hmac.compare_digest(form["client_secret"], self.account["client_secret"])
        is_client = form["client_id"] == self.account["client_id"]
        return form["grant_type"] == "client_credentials" and is_client and is_known

    def granted(self, token: str | None) -> dict[str, object]:
        """See `TokenSandbox.granted`."""
        if token is None:
            return {"error": "invalid_client", "error_description": "Refused."}
        return {"access_token": token, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"}

    def take(self, path: bytes, authorization: bytes, headers: dict[bytes, bytes], body: bytes) -> Reply:
        """See `TokenSandbox.take`."""
        kind, _, token = authorization.decode("latin-1").partition(" ")
        if kind != "Bearer" or not self.is_current(token):
            return self.refused(401, "honor_token", {"message": "Refused."})
        if not is_fresh(headers.get(b"timestamp", b"").decode("latin-1")):
            raise ValueError
        document = json.loads(body)
        (target,) = document["token"]
        android = document["android"]
        note, lifetime = android["notification"], android["ttl"]
        if note["clickAction"]["type"] not in (1, 2, 3) or note["importance"] not in ("LOW", "NORMAL"):
            raise ValueError
        if not lifetime.endswith("s") or not 1 <= int(lifetime[:-1]) <= honor.TTL_MAX_S:
            raise ValueError
        dispatch = json.loads(android["data"])["dispatch_id"]
        result: dict[str, object] = {"sendResult": True, "requestId": secrets.token_hex(12)}
        accepted = Reply(200, json.dumps({"code": 200, "message": "success", "data": result}).encode())
        return self.serve(
            dispatch, target, note["title"], note["body"], accepted, lambda then: _honor(then, target)
        )

    def malformed(self) -> Reply:
        """See `TokenSandbox.malformed`."""
        return self.refused(400, "honor_malformed", {"code": 400, "message": "Refused."})


def _honor(then: Then, target: str) -> Reply:
    """Return a failure; the name of a list (`expireTokens`) puts the address into it."""
    if not then.error:
        return Reply(then.status, b"")
    document: dict[str, object] = {"code": then.error, "message": "Scripted."}
    if then.error.endswith("Tokens"):
        document |= {"code": 200, "data": {"sendResult": False, then.error: [target]}}
    return Reply(then.status, json.dumps(document).encode())


class MeizuSandbox(ProviderSandbox):
    """Answers `POST /garcia/api/server/push/varnished/pushByPushId`."""

    paths = (b"/garcia/",)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        self._account = {"app_id": "10000", "app_secret": secrets.token_hex(16)}
        write_account(folder / "meizu.json", self._account)

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        form = form_of(body)
        sign = form.pop("sign", "")
        wanted = meizu.signature(form, self._account["app_secret"])
        if path != meizu.PATH or not hmac.compare_digest(sign, wanted):
            return self.refused(200, "meizu_1006", {"code": "1006", "message": "Refused."})
        try:
            document, target = json.loads(form["messageJson"]), form["pushIds"]
            bar, hours = document["noticeBarInfo"], document["pushTimeInfo"]["validTime"]
            dispatch = document["clickTypeInfo"]["parameters"]["dispatch_id"]
            if form["appId"] != self._account["app_id"] or not 1 <= hours <= 72:
                raise ValueError
            if not 0 < len(bar["title"]) <= 32 or not 0 < len(bar["content"]) <= 100:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return self.refused(200, "meizu_1005", {"code": "1005", "message": "Refused."})
        done = {"code": "200", "message": "", "msgId": secrets.token_hex(16), "value": {}}
        accepted = Reply(200, json.dumps(done).encode())
        return self.serve(
            dispatch, target, bar["title"], bar["content"], accepted, lambda then: _meizu(then, target)
        )


def _meizu(then: Then, target: str) -> Reply:
    """Return a failure; `value.110002` names the address under that code."""
    kind, _, code = (then.error or "").rpartition(".")
    document: dict[str, object] = {"code": code, "message": "Scripted.", "value": ""} if code else {}
    if kind == "value":
        document = {"code": "200", "message": "", "value": {code: [target]}}
    return Reply(then.status, json.dumps(document).encode())

"""Phone makers' and carriers' side of the wire: Twilio, Huawei, Xiaomi.

Sources of the shapes: those named in `angelia.delivery.channels`' modules of the same names.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from angelia.delivery.channels.token_lists import HUAWEI_MOST, XIAOMI_MOST
from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import make_rsa_key, write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

HUAWEI_AUDIENCE = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"


class TwilioSandbox(ProviderSandbox):
    """Answers `POST /2010-04-01/Accounts/{sid}/Messages.json`."""

    paths = (b"/2010-04-01/",)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        sid, token = "AC" + secrets.token_hex(16), secrets.token_hex(16)
        account = {"account_sid": sid, "auth_token": token, "from": "+15005550006"}
        write_account(folder / "sms.json", {**account, "status_callback": f"{url}/status"})
        self._path = f"/2010-04-01/Accounts/{sid}/Messages.json".encode()
        self._wanted = b"Basic " + base64.b64encode(f"{sid}:{token}".encode())

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        if path != self._path or method != b"POST":
            return self._error(404, 20404)
        if not hmac.compare_digest(authorization, self._wanted):
            return self._error(401, 20003)
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        if not form.get("Body") or len(form["Body"]) > 1600:
            return self._error(400, 21617)
        if not form.get("To", "").startswith("+") or not form["To"][1:].isdecimal():
            return self._error(400, 21211)
        if not 1 <= int(form.get("ValidityPeriod", "36000")) <= 36_000:
            return self._error(400, 90007)
        callback = parse_qs(urlsplit(form.get("StatusCallback", "")).query)
        done = {"sid": "SM" + secrets.token_hex(16), "status": "queued", "error_code": None}
        return self.serve(
            callback.get("dispatch_id", [""])[0],
            form["To"],
            "",
            form["Body"],
            Reply(201, json.dumps(done).encode()),
            lambda then: Reply(then.status, _twilio_error(then.status, int(then.error or 20500))),
        )

    def _error(self, status: int, code: int) -> Reply:
        self.phones.outcomes[f"sms_{code}"] += 1
        return Reply(status, _twilio_error(status, code))


def _twilio_error(status: int, code: int) -> bytes:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return json.dumps({"code": code, "message": "Refused.", "more_info": more, "status": status}).encode()


class HuaweiSandbox(ProviderSandbox):
    """Answers `POST /v3/{project}/messages:send`."""

    paths = (b"/v3/sandbox-project/",)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        key = make_rsa_key()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {"project_id": "sandbox-project", "key_id": "sandbox-key", "sub_account": "100001"}
        write_account(folder / "huawei.json", {**account, "private_key": pem})
        self._key = key.public_key()

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        try:
            kind, _, token = authorization.decode("latin-1").partition(" ")
            jwt.decode(token, self._key, algorithms=["PS256"], audience=HUAWEI_AUDIENCE, issuer="100001")
            if kind != "Bearer" or jwt.get_unverified_header(token).get("kid") != "sandbox-key":
                raise jwt.InvalidTokenError
        except jwt.InvalidTokenError:
            return self.refused(401, "huawei_token", {"code": "80200003", "msg": "token expired"})
        # What is refused for its content has status 200: the code in the answer tells.
        if dict(headers).get(b"push-type") != b"0" or len(body) > 8192 + 512 * HUAWEI_MOST:
            return self.refused(400, "huawei_headers", {"code": "80100003", "msg": "Illegal payload"})
        try:
            document = json.loads(body)
            notification, options = document["payload"]["notification"], document["pushOptions"]
            tokens = list(map(str, document["target"]["token"]))
            title, text, action = notification["title"], notification["body"], notification["clickAction"]
            if action["actionType"] not in (0, 1) or not 1 <= options["ttl"] <= 1_296_000:
                raise ValueError
            shared = action["data"].get("list_id")
            dispatch = "" if shared else action["data"]["dispatch_id"]
            if options["biTag"] != (shared or dispatch):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return self.refused(200, "huawei_payload", {"code": "80100003", "msg": "Illegal payload"})
        if not 1 <= len(tokens) <= (HUAWEI_MOST if shared else 1) or len(set(tokens)) < len(tokens):
            return self.refused(200, "huawei_tokens", {"code": "80300010", "msg": "Number of tokens"})
        failed = lambda then: _huawei(then, tokens[0])  # noqa: E731
        if shared:
            of_token = ("80100000", "80300007")
            return self.serve_list(
                shared, tokens, (title, text), lambda own: _some(own, tokens), failed, of_token
            )
        done = Reply(200, json.dumps(_HUAWEI_DONE | {"requestId": secrets.token_hex(12)}).encode())
        return self.serve(dispatch, tokens[0], title, text, done, failed)


_HUAWEI_DONE = {"code": "80000000", "msg": "Success"}


def _some(own: dict[str, str], tokens: Sequence[str]) -> Reply:
    """Return the answer to a list: all, some or none of its tokens were taken."""
    number = {"requestId": secrets.token_hex(12)}
    if not own:
        return Reply(200, json.dumps(_HUAWEI_DONE | number).encode())
    illegal: dict[str, list[str]] = {}
    for token, error in own.items():
        illegal.setdefault(error.partition(".")[2] or "tokenFormatError", []).append(token)
    words = {"success": len(tokens) - len(own), "failure": len(own), "illegalTokens": illegal}
    code = "80100000" if len(own) < len(tokens) else "80300007"
    return Reply(200, json.dumps({"code": code, "msg": json.dumps(words)} | number).encode())


def _huawei(then: Then, token: str) -> Reply:
    """Return a failure; `80100000.noRight` names the token under that reason, as Huawei does."""
    code, _, why = (then.error or "").partition(".")
    words = json.dumps({"illegalTokens": {why: [token]}, "failure": 1}) if why else "Scripted."
    document = {"code": code, "msg": words, "requestId": "1"} if code else {}
    return Reply(then.status, json.dumps(document).encode())


class XiaomiSandbox(ProviderSandbox):
    """Answers `POST /v3/message/regid`."""

    paths = (b"/v3/message/",)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        secret = secrets.token_urlsafe(18)
        write_account(folder / "xiaomi.json", {"app_secret": secret, "package_name": "example.angelia"})
        self._wanted = f"key={secret}".encode()

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        if not hmac.compare_digest(authorization, self._wanted):
            return self._error(21301)
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        try:
            tokens, title, text = form["registration_id"].split(","), form["title"], form["description"]
            payload = json.loads(form["payload"])
            shared = payload.get("list_id")
            dispatch = "" if shared else payload["dispatch_id"]
            if form["restricted_package_name"] != "example.angelia":
                return self._error(22022)
            if len(title) >= 50 or len(text) >= 128 or not form["time_to_live"].isdecimal():
                return self._error(10017)
            if len(tokens) > (XIAOMI_MOST if shared else 1):
                return self._error(10016)
        except (ValueError, KeyError, TypeError):
            return self._error(10016)
        done = {"result": "ok", "code": 0, "data": {"id": secrets.token_hex(12)}, "description": "ok"}
        accepted, failed = Reply(200, json.dumps(done).encode()), lambda then: _xiaomi(then, tokens[0])
        # Of a list the answer names the ids that were none; a single message goes by its own rule.
        if shared:
            return self.serve_list(shared, tokens, (title, text), _some_regids, failed, ("bad_regids",))
        return self.serve(dispatch, tokens[0], title, text, accepted, failed)

    def _error(self, code: int) -> Reply:
        self.phones.outcomes[f"xiaomi_{code}"] += 1
        return Reply(200, json.dumps({"result": "error", "code": code, "reason": "Refused."}).encode())


def _some_regids(own: dict[str, str]) -> Reply:
    """Return the answer to a list: the registration ids that were none are named in it."""
    data = {"id": secrets.token_hex(12), **({"bad_regids": ",".join(own)} if own else {})}
    document = {"result": "ok", "code": 0, "data": data, "description": "ok"}
    return Reply(200, json.dumps(document).encode())


def _xiaomi(then: Then, token: str) -> Reply:
    """Return a failure; the error `bad_regids` names the address in an answer of success."""
    if then.error == "bad_regids":
        data: dict[str, object] = {"id": "1", "bad_regids": token}
        return Reply(then.status, json.dumps({"result": "ok", "code": 0, "data": data}).encode())
    document = {"result": "error", "code": int(then.error)} if then.error else {}
    return Reply(then.status, json.dumps(document).encode())

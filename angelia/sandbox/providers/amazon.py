"""Amazon SNS's side of the wire, and the check of Signature Version 4 that SES's shares.

Source of the shapes: botocore's service model sns (2010-03-31), Publish, read 2026-11-28.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

REGION = "eu-west-1"


class AwsAccount:
    """An account of the sandbox, which knows its own signature at one address."""

    def __init__(self, service: str, url: str) -> None:
        key, secret = "AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
        self._url, self._signer = url, SigV4Auth(Credentials(key, secret), service, REGION)
        self.document = {"region": REGION, "access_key_id": key, "secret_access_key": secret}

    def has_signed(
        self, method: bytes, path: bytes, authorization: bytes, given: dict[bytes, bytes], body: bytes
    ) -> bool:
        """Return whether a request bears this account's signature."""
        words = dict(part.strip().partition("=")[::2] for part in authorization.decode("latin-1").split(","))
        names = words.get("SignedHeaders", "").split(";")
        signed = {name: given.get(name.encode(), b"").decode("latin-1") for name in names if name != "host"}
        if "x-amz-date" not in signed or "host" not in names:
            return False
        request = AWSRequest(method.decode(), self._url + path.decode("latin-1"), signed, body)
        request.context["timestamp"] = signed["x-amz-date"]
        text = self._signer.string_to_sign(request, self._signer.canonical_request(request))
        wanted = self._signer.signature(text, request)
        return hmac.compare_digest(wanted.encode(), words.get("Signature", "").encode())


class SnsSandbox(ProviderSandbox):
    """Answers `POST /`, which is all of SNS."""

    posted = (b"/",)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        self._account = AwsAccount("sns", url)
        for name in ("sns_push", "sns_sms"):
            write_account(folder / f"{name}.json", self._account.document)

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        if not self._account.has_signed(method, path, authorization, dict(headers), body):
            return self._error(403, "SignatureDoesNotMatch")
        form = dict(parse_qsl(body.decode("latin-1")))
        try:
            if (form["Action"], form["Version"]) != ("Publish", "2010-03-31"):
                return self._error(400, "InvalidAction")
            target, title, text, dispatch = _pushed(form) if "TargetArn" in form else _texted(form)
        except (ValueError, KeyError, TypeError):
            return self._error(400, "InvalidParameter")
        done = f"<PublishResult><MessageId>{secrets.token_hex(16)}</MessageId></PublishResult>"
        return self.serve(dispatch, target, title, text, Reply(200, _xml("PublishResponse", done)), _scripted)

    def _error(self, status: int, code: str) -> Reply:
        self.phones.outcomes[f"sns_{code}"] += 1
        return Reply(status, _failure(code))


def _texted(form: dict[str, str]) -> tuple[str, str, str, str]:
    """Return number, title, text and what stands for the dispatch id, which is not there."""
    number, text = form["PhoneNumber"], form["Message"]
    if not number.startswith("+") or not number[1:].isdecimal() or not 0 < len(text) <= 1600:
        raise ValueError
    if form["MessageAttributes.entry.1.Value.StringValue"] not in ("Promotional", "Transactional"):
        raise ValueError
    return number, "", text, hashlib.sha256(f"{number}\0{text}".encode()).hexdigest()[:32]


def _pushed(form: dict[str, str]) -> tuple[str, str, str, str]:
    """Return endpoint, title, text and dispatch id of a push."""
    arn, content = form["TargetArn"], json.loads(form["Message"])
    platform = arn.split("/")[1]
    if form["MessageStructure"] != "json" or not isinstance(content["default"], str):
        raise ValueError
    payload = json.loads(content[platform])
    if platform == "GCM":
        message = payload["fcmV1Message"]["message"]
        alert, data = message["notification"], message["data"]
    else:
        alert, data = payload["aps"]["alert"], payload
    # Rules know an address by its beginning; an ARN's own part is its end.
    return arn.rpartition("/")[2], alert["title"], alert["body"], data["dispatch_id"]


def _scripted(then: Then) -> Reply:
    return Reply(then.status, _failure(then.error) if then.error else b"")


def _failure(code: str) -> bytes:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>Refused.</Message></Error>"
    return _xml("ErrorResponse", error)


def _xml(name: str, content: str) -> bytes:
    space = "http://sns.amazonaws.com/doc/2010-03-31/"
    return f'<{name} xmlns="{space}">{content}<RequestId>1</RequestId></{name}>'.encode()

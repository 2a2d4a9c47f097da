"""FCM's side of the wire: token endpoint and messages:send, with the real error shapes.

Source of the shapes: firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send and .../ErrorCode,
read 2026-11-21.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import NamedTuple
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from angelia.sandbox import page
from angelia.sandbox.keys import ACCOUNT, PROJECT
from angelia.sandbox.phones import Phones
from angelia.sandbox.rules import Rules, Then
from angelia.transport.header_blocks import Headers

AUDIENCE = "https://oauth2.googleapis.com/token"  # google-auth signs for it whatever token_uri says
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Either is enough; firebase-admin asks for several. Source: .../fcm/rest/v1/projects.messages/send,
# "Authorization scopes", read 2026-11-21.
SCOPES = {
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
}
JSON, HTML = b"application/json; charset=UTF-8", b"text/html; charset=utf-8"
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
    503: "UNAVAILABLE",
}  # fmt: skip


class Reply(NamedTuple):
    """An answer, and how it is to be delivered (`then`: delay, drip, reset, goaway, refuse)."""

    status: int
    body: bytes
    content_type: bytes = JSON
    retry_after: bytes | None = None
    then: Then | None = None
    headers: Headers = ()


def error(status: int, message: str, code: str | None = None, violation: str | None = None) -> bytes:
    """Return the JSON of a Google API error."""
    details: list[dict[str, object]] = []
    if code:
        details.append({"@type": _FCM_ERROR, "errorCode": code})
    if violation:
        details.append(
            {"@type": _BAD_REQUEST, "fieldViolations": [{"field": violation, "description": message}]}
        )
    document: dict[str, object] = {
        "code": status,
        "message": message,
        "status": _STATUS.get(status, "UNKNOWN"),
    }
    if details:
        document["details"] = details
    return json.dumps({"error": document}, indent=1).encode()


class FcmSandbox:
    """Answers requests, whatever carried them."""

    def __init__(
        self, public_key: RSAPublicKey, audience: str, phones: Phones, rules: Rules, token_seconds: int = 3600
    ) -> None:
        self._key, self._audience, self.phones, self._rules, self._token_seconds = (
            public_key,
            audience,
            phones,
            rules,
            token_seconds,
        )
        self._tokens: dict[bytes, float] = {}
        self._send_path = f"/v1/projects/{PROJECT}/messages:send".encode()
        self._number = 0

    def answer(self, method: bytes, path: bytes, authorization: bytes, body: bytes) -> Reply:
        """Return the answer to one request."""
        if path == self._send_path and method == b"POST":
            return self._send(authorization, body)
        if path == b"/token" and method == b"POST":
            return self._token(body)
        if path == b"/stats" and method == b"GET":
            return Reply(200, json.dumps({**self.phones.stats(), **self._rules.applied()}).encode())
        if path == b"/received" and method == b"GET":
            return Reply(200, json.dumps(self.phones.received).encode())
        if path == b"/" and method == b"GET":
            return Reply(200, page.render(self.phones), HTML, headers=page.POLICY)
        if path.endswith(b"/messages:send"):
            self.phones.n_requests += 1
            return self._refused(403, "Permission denied on this project.", "PERMISSION_DENIED")
        return Reply(404, error(404, "Not found."))

    def _token(self, body: bytes) -> Reply:
        form = parse_qs(body.decode("latin-1"))
        try:
            if form.get("grant_type") != [GRANT]:
                raise jwt.InvalidTokenError
            claims = jwt.decode(
                form["assertion"][0], self._key, algorithms=["RS256"], audience=[self._audience, AUDIENCE],
                issuer=ACCOUNT,
                options={"require": ["exp", "iat"]},
            )  # fmt: skip
            if not SCOPES.intersection(str(claims.get("scope")).split()):
                raise jwt.InvalidTokenError
        except (jwt.InvalidTokenError, KeyError):
            self.phones.outcomes["token_refused"] += 1
            return Reply(400, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}')
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._tokens[f"Bearer {token}".encode()] = time.monotonic() + self._token_seconds
        self.phones.outcomes["token_granted"] += 1
        return Reply(
            200,
            json.dumps(
                {"access_token": token, "expires_in": self._token_seconds, "token_type": "Bearer"}
            ).encode(),
        )

    def _send(self, authorization: bytes, body: bytes) -> Reply:
        phones = self.phones
        phones.n_requests += 1
        if self._tokens.get(authorization, 0.0) < time.monotonic():
            return self._refused(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED")
        try:
            document = json.loads(body)
            message = document["message"]
            token, notification, data = message["token"], message["notification"], message.get("data", {})
            title, text = notification["title"], notification["body"]
            dispatch = data.get("dispatch_id", "")
            ttl = message.get("android", {}).get("ttl", "0s")
            texts = (token, title, text, dispatch, ttl)
            if not all(type(value) is str for value in texts) or not all(
                type(value) is str for value in data.values()
            ):
                raise ValueError
            if ttl[-1:] != "s" or not ttl[:-1].replace(".", "", 1).isdigit():
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._refused(
                400, "Invalid JSON payload received.", "INVALID_ARGUMENT", violation="message"
            )
        # FCM distinguishes a bad payload from a bad token, and so must its stand-in: only the latter ends an
        # address.
        if not token or len(token) > 4096 or not token.isascii() or " " in token:
            return self._refused(
                400,
                "The registration token is not a valid FCM registration token",
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
            )
        if (
            len(text) + len(title) > 1000
            and len(title.encode()) + len(text.encode()) + sum(map(len, data.values())) > 4096
        ):
            return self._refused(
                400, "Android message is too big", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message"
            )
        then = self._rules.find(token, dispatch) if self._rules.active else None
        if then is not None:
            # The connection breaks before the request counts as processed, so no phone may receive it.
            if then.is_unseen:
                phones.outcomes["broken_before"] += 1
                return Reply(200, b"", then=then)
            if then.status != 200:
                reply = self._refused(
                    then.status, "Scripted.", then.error or str(then.status), then.error, token_only=True
                )
                retry = then.retry_after.encode() if then.retry_after else None
                return reply._replace(
                    then=then,
                    retry_after=retry,
                    body=then.body.encode() if then.body is not None else reply.body,
                )
        # FCM answers a dry run like a send, but no phone receives it.
        if document.get("validate_only") is not True:
            phones.receive(dispatch, token, title, text)
        phones.outcomes["accepted"] += 1
        self._number += 1
        # As FCM's own names: microseconds since 1970, then something unique. The benchmark reads the time of
        # the answer from it.
        name = b'{\n  "name": "projects/%b/messages/0:%016d%%%016x"\n}' % (
            PROJECT.encode(),
            time.time_ns() // 1000,
            self._number,
        )
        return Reply(200, name if then is None or then.body is None else then.body.encode(), then=then)

    def _refused(
        self,
        status: int,
        message: str,
        outcome: str,
        code: str | None = None,
        violation: str | None = None,
        *,
        token_only: bool = False,
    ) -> Reply:
        self.phones.outcomes[outcome] += 1
        return Reply(status, error(status, message, code, None if token_only else violation))

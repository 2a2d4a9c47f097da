"""The APNs front end: checks tokens and headers as APNs does, then serves the phone.

Tokens are ES256 provider tokens. Answer shapes: developer.apple.com/documentation/usernotifications,
"Handling notification responses from APNs", read 2026-11-21.
"""

from __future__ import annotations

import json
import re
import time

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from angelia.sandbox.fcm import JSON, Reply
from angelia.sandbox.keys import APNS_KEY_ID, APNS_TEAM, APNS_TOPIC
from angelia.sandbox.phones import Phones
from angelia.sandbox.rules import Rules
from angelia.transport.header_blocks import Headers

PATH = b"/3/device/"
_TOKEN_MAX_S = 3600
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_HEX = re.compile(rb"[0-9A-Fa-f]{16,200}")


class ApnsSandbox:
    """Answers `POST /3/device/{token}`."""

    def __init__(self, public_key: EllipticCurvePublicKey, phones: Phones, rules: Rules) -> None:
        self._key, self.phones, self._rules = public_key, phones, rules
        self._known: dict[bytes, int] = {}  # verified header -> when it was issued

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """Return the answer to one request."""
        self.phones.n_requests += 1
        given = dict(headers)
        name = given.get(b"apns-id", b"")
        if method != b"POST":
            return self._refused(405, "MethodNotAllowed", name)
        refusal = self._check_token(authorization)
        if refusal:
            return self._refused(403, refusal, name)
        token = path[len(PATH) :]
        if not _HEX.fullmatch(token):
            return self._refused(400, "BadDeviceToken", name)
        if given.get(b"apns-topic") != APNS_TOPIC.encode():
            return self._refused(
                400, "MissingTopic" if b"apns-topic" not in given else "DeviceTokenNotForTopic", name
            )
        if name and not _UUID.fullmatch(name):
            return self._refused(400, "BadMessageId", name)
        if given.get(b"apns-push-type") not in (b"alert", b"background"):
            return self._refused(400, "InvalidPushType", name)
        if given.get(b"apns-priority", b"10") not in (b"1", b"5", b"10"):
            return self._refused(400, "BadPriority", name)
        if not given.get(b"apns-expiration", b"0").isdigit():
            return self._refused(400, "BadExpirationDate", name)
        if len(given.get(b"apns-collapse-id", b"")) > 64:
            return self._refused(400, "BadCollapseId", name)
        return self._take(token.decode(), name, body)

    def _take(self, token: str, name: bytes, body: bytes) -> Reply:
        if len(body) > 4096:
            return self._refused(413, "PayloadTooLarge", name)
        try:
            alert = json.loads(body)["aps"]["alert"]
            title, text = str(alert["title"]), str(alert["body"])
        except (ValueError, KeyError, TypeError):
            return self._refused(400, "PayloadEmpty", name)
        dispatch = name.decode().replace("-", "").lower()
        then = self._rules.find(token, dispatch) if self._rules.active else None
        if then is not None:
            if then.is_unseen:
                self.phones.outcomes["broken_before"] += 1
                return Reply(200, b"", then=then)
            if then.status != 200:
                reply = self._refused(then.status, then.error or "InternalServerError", name, then.gone_s)
                retry = then.retry_after.encode() if then.retry_after else None
                return reply._replace(
                    then=then,
                    retry_after=retry,
                    body=then.body.encode() if then.body is not None else reply.body,
                )
        self.phones.receive(dispatch, token, title, text)
        self.phones.outcomes["accepted"] += 1
        return Reply(200, b"", then=then, headers=((b"apns-id", name),))

    def _check_token(self, authorization: bytes) -> str | None:
        kind, _, token = authorization.partition(b" ")
        if kind.lower() != b"bearer" or not token:
            return "MissingProviderToken"
        issued = self._known.get(token)
        if issued is None:
            try:
                if jwt.get_unverified_header(token).get("kid") != APNS_KEY_ID:
                    return "InvalidProviderToken"
                claims = jwt.decode(
                    token,
                    self._key,
                    algorithms=["ES256"],
                    issuer=APNS_TEAM,
                    options={"require": ["iat", "iss"]},
                )
            except jwt.InvalidTokenError:
                return "InvalidProviderToken"
            issued = self._known[token] = int(claims["iat"])
        return None if abs(time.time() - issued) <= _TOKEN_MAX_S else "ExpiredProviderToken"

    def _refused(self, status: int, reason: str, name: bytes, gone_s: float = 0.0) -> Reply:
        self.phones.outcomes[reason] += 1
        document: dict[str, object] = {"reason": reason}
        if status == 410:
            document["timestamp"] = int((time.time() - gone_s) * 1000)
        return Reply(
            status, json.dumps(document).encode(), JSON, headers=((b"apns-id", name),) if name else ()
        )

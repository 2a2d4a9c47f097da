"""A push service and its browsers: verifies VAPID, decrypts with their keys.

Source of the answers: RFC 8030 section 5, RFC 8292 section 4.2, read 2026-11-28.
"""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from angelia.sandbox.fcm import Reply
from angelia.sandbox.keys import write_account
from angelia.sandbox.phones import Phones
from angelia.sandbox.providers.base import ProviderSandbox
from angelia.sandbox.rules import Rules
from angelia.transport.header_blocks import Headers
from angelia.transport.push_encryption import decrypt, encode, point_of

PATH = b"/wp/"
_EXPIRY_MAX_S = 24 * 3600


class WebPushSandbox(ProviderSandbox):
    """Answers `POST /wp/{name}`; every name is a subscription with the same keys."""

    paths = (PATH,)

    def __init__(self, folder: Path, url: str, phones: Phones, rules: Rules) -> None:
        super().__init__(phones, rules)
        key = ec.generate_private_key(ec.SECP256R1())
        self._public, self._vapid = encode(point_of(key.public_key())), key.public_key()
        self._browser, self._secret = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16)
        self._url = url
        self._known: dict[bytes, float] = {}  # verified header -> when it ends
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        host = url.partition("://")[2].rpartition(":")[0]
        account = {"private_key": pem, "subject": "mailto:sandbox@angelia.example"}
        write_account(folder / "webpush.json", {**account, "allow_private": True, "allowed_hosts": [host]})
        write_account(folder / "webpush-subscription.json", self.subscription("NAME"))

    def subscription(self, name: str) -> dict[str, object]:
        """Return what a browser of this name would hand to its site."""
        keys = {"p256dh": encode(point_of(self._browser.public_key())), "auth": encode(self._secret)}
        return {"endpoint": f"{self._url}{PATH.decode()}{name}", "keys": keys}

    def answer(
        self, method: bytes, path: bytes, authorization: bytes, headers: Headers, body: bytes
    ) -> Reply:
        """See `ProviderSandbox.answer`."""
        self.phones.n_requests += 1
        given = dict(headers)
        if method != b"POST":
            return self.refused(405, "webpush_method", {})
        if not self._is_signed(authorization):
            return self.refused(403, "webpush_vapid", {"reason": "the VAPID token is not valid"})
        if not given.get(b"ttl", b"").isdigit():
            return self.refused(400, "webpush_ttl", {"reason": "TTL is required"})
        if len(body) > 4096:
            return self.refused(413, "webpush_size", {})
        if len(given.get(b"topic", b"")) > 32 or given.get(b"content-encoding") != b"aes128gcm":
            return self.refused(400, "webpush_headers", {})
        name = path[len(PATH) :].decode("latin-1")
        try:
            message = json.loads(decrypt(body, self._browser, self._secret))
            dispatch, title, text = message["dispatch_id"], message["title"], message["body"]
        except (ValueError, KeyError, TypeError):
            # A push service cannot look inside; the browser would drop it. Here it must not pass for sent.
            return self.refused(400, "webpush_undecipherable", {})
        place = f"{self._url}/m/{secrets.token_hex(8)}".encode()
        return self.serve(
            dispatch,
            name,
            title,
            text,
            Reply(201, b"", headers=((b"location", place),)),
            lambda then: Reply(then.status, b""),
        )

    def _is_signed(self, authorization: bytes) -> bool:
        if self._known.get(authorization, 0.0) > time.time():
            return True
        kind, _, rest = authorization.decode("latin-1").partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        if kind.lower() != "vapid" or parts.get("k") != self._public:
            return False
        try:
            claims = jwt.decode(
                parts.get("t", ""), self._vapid, algorithms=["ES256"], audience=self._url,
                options={"require": ["exp", "aud", "sub"]},
            )  # fmt: skip
        except jwt.InvalidTokenError:
            return False
        if claims["exp"] - time.time() > _EXPIRY_MAX_S:
            return False
        self._known[authorization] = float(claims["exp"])
        return True

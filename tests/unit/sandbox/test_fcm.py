"""FCM's stand-in: a token for a signed assertion, and FCM's own shapes of refusal."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from angelia.delivery.channels.fcm import FcmAdapter
from angelia.sandbox.fcm import AUDIENCE, GRANT, SCOPES, FcmSandbox, error
from angelia.sandbox.keys import ACCOUNT, PROJECT
from angelia.sandbox.phones import Phones
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import rules

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
REQUEST = FcmAdapter(PROJECT).build_request(MESSAGE)


def sandbox(*fates: dict[str, Any], token_seconds: int = 3600) -> FcmSandbox:
    return FcmSandbox(KEY.public_key(), "https://here/token", Phones(), rules(*fates), token_seconds)


def bearer(stand: FcmSandbox, grant: str = GRANT, **changes: Any) -> bytes | None:
    now = int(time.time())
    claims = {"iss": ACCOUNT, "aud": AUDIENCE, "iat": now, "exp": now + 60, "scope": min(SCOPES), **changes}
    form = urlencode({"grant_type": grant, "assertion": jwt.encode(claims, KEY, "RS256")}).encode()
    reply = stand.answer(b"POST", b"/token", b"", form)
    return f"Bearer {json.loads(reply.body)['access_token']}".encode() if reply.status == 200 else None


def send(
    stand: FcmSandbox, authorization: bytes | None, body: bytes = REQUEST.body
) -> tuple[int, str | None]:
    reply = stand.answer(b"POST", REQUEST.path, authorization or b"", body)
    return reply.status, json.loads(reply.body).get("error", {}).get("status")


@pytest.mark.parametrize(
    "changes",
    [{"iss": "other"}, {"aud": "other"}, {"exp": 1}, {"scope": "drive"}, {"grant": "password"}],
)
def test_an_assertion_of_others_gets_no_token(changes: dict[str, Any]) -> None:
    stand = sandbox()
    assert bearer(stand, **changes) is None
    assert stand.phones.outcomes == {"token_refused": 1}
    assert bearer(stand, aud="https://here/token") is not None


def test_a_message_needs_a_token_that_holds() -> None:
    stand = sandbox()
    assert send(stand, bearer(stand)) == (200, None)
    assert list(stand.phones.recent) == [(MESSAGE.dispatch_id, MESSAGE.address, MESSAGE.title, MESSAGE.body)]
    ended = sandbox(token_seconds=-1)
    assert [send(ended, token) for token in (bearer(ended), b"Bearer x", None)] == [
        (401, "UNAUTHENTICATED")
    ] * 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ttl":"3600s"', b'"ttl":3600'),
        (b'"token":', b'"taken":'),
        (b'"title":"', b'"title":7,"x":"'),
        (b"{", b"["),
    ],
)
def test_a_payload_that_is_none_is_an_invalid_argument(old: bytes, new: bytes) -> None:
    stand = sandbox()
    assert old in REQUEST.body
    assert send(stand, bearer(stand), REQUEST.body.replace(old, new, 1)) == (400, "INVALID_ARGUMENT")
    assert stand.phones.received == {}


def test_a_dry_run_is_answered_and_received_by_nobody() -> None:
    stand = sandbox({"status": 404, "error": "UNREGISTERED"})
    token = bearer(stand)
    assert send(stand, token) == (404, "NOT_FOUND")
    dry = json.dumps({**json.loads(REQUEST.body), "validate_only": True}).encode()
    assert send(stand, token, dry) == (200, None)
    assert stand.phones.received == {}


def test_another_project_is_denied_and_errors_have_googles_shape() -> None:
    stand = sandbox()
    assert stand.answer(b"POST", b"/v1/projects/other/messages:send", b"", b"").status == 403
    document = json.loads(error(400, "no", "INVALID_ARGUMENT", "message"))["error"]
    assert (document["code"], document["status"], len(document["details"])) == (400, "INVALID_ARGUMENT", 2)

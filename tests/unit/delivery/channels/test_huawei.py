"""Huawei Push Kit: tokens signed here, and what codes and refused tokens mean."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from angelia.delivery.channels import huawei
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, NOW, assert_golden
from tests.unit.delivery.channels.given import document, meaning, refusal
from tests.unit.delivery.given import MESSAGE


def illegal(code: str, why: str) -> dict[str, str]:
    """Return an answer that names the one token under a reason."""
    return {"code": code, "msg": json.dumps({"illegalTokens": {why: ["t"]}, "failure": 1})}


ADAPTER = huawei.HuaweiAdapter("12345", receipt_id="RCP1")


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("huawei", name, ADAPTER, "token-1")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"code": "80000000", "requestId": "1"}, "accepted", None),
        (200, {"code": "80300007"}, "gone", "80300007"),
        (200, illegal("80300007", "noRight"), "halt", "80300007.noRight"),
        (200, illegal("80100000", "novelty"), "rejected", "80100000.novelty"),
        (401, {"code": "80200003"}, "auth", "80200003"),
        (503, None, "throttled", "HTTP_503"),
        (200, {}, "ambiguous", "answer_without_code"),
        (200, illegal("80300007", "tokenFormatError"), "rejected", "80300007.tokenFormatError"),
        (200, {"code": "80200001", "msg": "[1]"}, "auth", "80200001"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


def test_a_token_is_signed_and_kept_for_fifty_minutes() -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    now = [NOW]
    token = huawei.ServiceToken({"sub_account": "1", "key_id": "k", "private_key": pem}, lambda: now[0])
    assert token.current() is None
    asyncio.run(token.refresh(None))
    kind, text = (token.current() or b"").decode().split()
    claims = jwt.decode(
        text,
        key.public_key(),
        ["PS256"],
        {"verify_exp": False, "verify_iat": False},
        audience=huawei.AUDIENCE,
    )
    assert (kind, claims["iss"], claims["exp"] - claims["iat"]) == ("Bearer", "1", 3600)
    assert jwt.get_unverified_header(text)["kid"] == "k"
    now[0] += 2999
    assert token.current() is not None
    now[0] += 1
    assert token.current() is None
    now[0] -= 3001
    assert token.current() is None, "the clock went back to before it was made"


def test_an_unusable_key_is_named_and_not_shown() -> None:
    token = huawei.ServiceToken({"sub_account": "1", "key_id": "k", "private_key": "CANARY"})
    with pytest.raises(InvalidInput, match="private key is unusable") as caught:
        asyncio.run(token.refresh(None))
    assert "CANARY" not in caught.value.one_line()


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, 1), (60, 60), (9_999_999, 1_296_000)])
def test_a_message_is_kept_within_huaweis_bounds(ttl_s: int, kept: int) -> None:
    assert document(ADAPTER.build_request(MESSAGE._replace(ttl_s=ttl_s)))["pushOptions"]["ttl"] == kept


def test_the_limit_does_not_count_the_token() -> None:
    ADAPTER.build_request(MESSAGE._replace(address="t" * 5000))
    assert refusal(ADAPTER, body="x" * 4097)[::2] == ("payload_too_large", 4096)

"""APNs: its token's life, what each answer means, and addresses that never become a path."""

from __future__ import annotations

import asyncio

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from angelia.delivery.channels import apns
from angelia.delivery.channels.base import MessageRejected, Verdict
from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.wire import Answer
from tests.golden.wire import MESSAGES, NOW, assert_golden
from tests.unit.delivery.given import MESSAGE


def test_a_young_apns_token_is_kept() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    now = [1_800_000_000.0]
    token = apns.ProviderToken({"team_id": "TEAM", "key_id": "KEY", "private_key": pem}, lambda: now[0])
    assert token.current() is None
    asyncio.run(token.refresh(None))
    first = token.current()
    assert first is not None
    claims = jwt.decode(
        first.split()[1], key.public_key(), algorithms=["ES256"], options={"verify_iat": False}
    )
    assert claims == {"iss": "TEAM", "iat": 1_800_000_000}
    assert jwt.get_unverified_header(first.split()[1])["kid"] == "KEY"
    now[0] += 49 * 60
    assert token.current() == first
    now[0] += 60
    assert token.current() is None
    asyncio.run(token.refresh(None))
    assert token.current() != first
    now[0] += 19 * 60
    with pytest.raises(AngeliaError, match="less than 20 minutes"):
        asyncio.run(token.refresh(token.current()))
    with pytest.raises(InvalidInput, match="unusable"):
        asyncio.run(apns.ProviderToken({"team_id": "T", "key_id": "K", "private_key": "x"}).refresh(None))


@pytest.mark.parametrize(
    ("given_answer", "verdict"),
    [
        (Answer(200, b"", ((b"apns-id", b"x"),)), Verdict("accepted", None, "x")),
        (
            Answer(410, b'{"reason":"Unregistered","timestamp":1700000000123}'),
            Verdict("gone", "Unregistered", None, 1_700_000_000_123_000),
        ),
        (Answer(410, b'{"reason":"ExpiredToken"}'), Verdict("gone", "ExpiredToken")),
        (Answer(400, b'{"reason":"BadDeviceToken","timestamp":1}'), Verdict("rejected", "BadDeviceToken")),
        (Answer(403, b'{"reason":"ExpiredProviderToken"}'), Verdict("auth", "ExpiredProviderToken")),
        (Answer(403, b'{"reason":"InvalidProviderToken"}'), Verdict("halt", "InvalidProviderToken")),
        (Answer(403, b'{"reason":"Novelty"}'), Verdict("halt", "Novelty")),
        (Answer(429, b'{"reason":"TooManyRequests"}'), Verdict("retry", "TooManyRequests")),
        (
            Answer(429, b'{"reason":"TooManyProviderTokenUpdates"}'),
            Verdict("throttled", "TooManyProviderTokenUpdates"),
        ),
        (Answer(503, b"<html>"), Verdict("retry", "HTTP_503")),
        (Answer(400, b"[]"), Verdict("rejected", "HTTP_400")),
        (Answer(418, b'{"reason":7}'), Verdict("rejected", "HTTP_418")),
    ],
)
def test_apns_answers(given_answer: Answer, verdict: Verdict) -> None:
    assert apns.ApnsAdapter("topic").classify(given_answer) == verdict


@pytest.mark.parametrize(
    "address",
    ["", "../../x", "ab" * 7, "zz" * 32, "ab" * 32 + "\r\nx: y", "ab" * 32 + "/../" + "0" * 8, "ab" * 101],
)
def test_apns_addresses_that_are_no_token_never_become_a_path(address: str) -> None:
    with pytest.raises(MessageRejected, match="bad_address"):
        apns.ApnsAdapter("topic").build_request(MESSAGE._replace(address=address))


def test_apns_payload_limit() -> None:
    with pytest.raises(MessageRejected, match="payload_too_large"):
        apns.ApnsAdapter("topic").build_request(MESSAGE._replace(body="é" * 2100))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(410, b'{"reason":"Unregistered","timestamp":99999999999999999999}'),
        Answer(410, b'{"reason":"Unregistered","timestamp":1000000000000000}'),
        Answer(410, b'{"reason":"Unregistered","timestamp":-5}'),
        Answer(410, b'{"reason":"Unregistered\\ud83d","timestamp":true}'),
        Answer(400, b'{"reason":"' + b"x" * 9000 + b'"}'),
        Answer(200, b"", ((b"apns-id", b"\xff" * 9000),)),
    ],
)
def test_a_verdict_holds_what_a_ledger_can_store(answer: Answer) -> None:
    verdict = apns.ApnsAdapter("topic").classify(answer)
    assert verdict.gone_us is None or 0 <= verdict.gone_us < 4_102_444_800_000_000
    for text, most in ((verdict.reason, 64), (verdict.provider_id, 256)):
        assert text is None or (len(text.encode()) <= 4 * most and len(text) <= most)


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("apns", name, apns.ApnsAdapter("example.shop", lambda: NOW), "0123456789abcdef" * 4)

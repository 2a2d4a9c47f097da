"""SNS's stand-in: it knows its own signature, and takes texts and pushes."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.sandbox.providers.amazon import AwsAccount, SnsSandbox
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

NUMBER = "+4915112345678"
ARN = "arn:aws:sns:eu-west-1:123456789012:endpoint/{}/shop/0f1e"


def test_a_text_arrives_at_its_number(tmp_path: Path) -> None:
    stand = Stand(SnsSandbox, tmp_path)
    provider = stand.provider("sns_sms")
    reply = stand.post(provider.adapter.build_request(MESSAGE._replace(address=NUMBER)))
    assert verdict(provider, reply).kind == "accepted"
    assert [recent[1] for recent in stand.phones.recent] == [NUMBER]


@pytest.mark.parametrize("platform", ["GCM", "APNS", "APNS_SANDBOX"])
def test_a_push_arrives_with_our_id_on_each_platform(platform: str, tmp_path: Path) -> None:
    stand = Stand(SnsSandbox, tmp_path)
    provider = stand.provider("sns_push")
    message = MESSAGE._replace(address=ARN.format(platform))
    assert verdict(provider, stand.post(provider.adapter.build_request(message))).kind == "accepted"
    assert list(stand.phones.recent) == [(message.dispatch_id, "0f1e", message.title, message.body)]


def test_a_changed_text_does_not_fit_its_signature(tmp_path: Path) -> None:
    stand = Stand(SnsSandbox, tmp_path)
    provider = stand.provider("sns_sms")
    request = provider.adapter.build_request(MESSAGE._replace(address=NUMBER))
    reply = stand.post(request._replace(body=request.body.replace(b"Ann", b"Bob")))
    assert (verdict(provider, reply).kind, verdict(provider, reply).reason) == (
        "halt",
        "SignatureDoesNotMatch",
    )
    assert stand.phones.received == {}


def test_a_signature_covers_host_and_time() -> None:
    account = AwsAccount("sns", "https://127.0.0.1:8443")
    unsigned = b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=%b, Signature=00"
    for names in (b"host", b"x-amz-date", b""):
        given = {b"x-amz-date": b"20261128T000000Z", b"host": b"h"}
        assert not account.has_signed(b"POST", b"/", unsigned % names, given, b"")


def test_a_rule_answers_in_amazons_shape(tmp_path: Path) -> None:
    stand = Stand(SnsSandbox, tmp_path, {"status": 400, "error": "OptedOut"})
    provider = stand.provider("sns_sms")
    reply = stand.post(provider.adapter.build_request(MESSAGE._replace(address=NUMBER)))
    assert verdict(provider, reply).kind == "opted_out"

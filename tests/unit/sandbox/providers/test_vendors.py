"""Twilio's, Huawei's and Xiaomi's stand-ins: whose account it is, and what they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.base import Provider
from angelia.sandbox.fcm import Reply
from angelia.sandbox.providers.vendors import HuaweiSandbox, TwilioSandbox, XiaomiSandbox
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

KINDS: dict[str, tuple[Callable[..., Any], str]] = {
    "twilio": (TwilioSandbox, "sms"),
    "huawei": (HuaweiSandbox, "huawei"),
    "xiaomi": (XiaomiSandbox, "xiaomi"),
}
NUMBER = "+4915112345678"


def send(stand: Stand, provider: Provider, old: bytes = b"", new: bytes = b"", bearer: bytes = b"") -> Reply:
    """Send a message with the account's authorization, some bytes of it changed."""
    assert provider.credentials is not None
    asyncio.run(provider.credentials.refresh(None)) if provider.credentials.current() is None else None
    request = provider.adapter.build_request(MESSAGE._replace(address=NUMBER))
    assert old in request.body
    changed = request._replace(body=request.body.replace(old, new)) if old else request
    return stand.post(changed, bearer or provider.credentials.current() or b"")


@pytest.mark.parametrize("name", KINDS)
def test_a_message_of_the_account_arrives_with_our_id(name: str, tmp_path: Path) -> None:
    kind, account = KINDS[name]
    stand = Stand(kind, tmp_path)
    provider = stand.provider(name, account)
    assert verdict(provider, send(stand, provider)).kind == "accepted"
    assert [recent[:2] for recent in stand.phones.recent] == [(MESSAGE.dispatch_id, NUMBER)]


@pytest.mark.parametrize(
    ("name", "guess", "kind"),
    [
        ("twilio", b"Basic QUMwOmd1ZXNz", "halt"),
        ("huawei", b"Bearer a.b.c", "auth"),
        ("xiaomi", b"key=guess", "halt"),
    ],
)
def test_another_account_is_refused(name: str, guess: bytes, kind: str, tmp_path: Path) -> None:
    maker, account = KINDS[name]
    stand = Stand(maker, tmp_path)
    provider = stand.provider(name, account)
    assert verdict(provider, send(stand, provider, bearer=guess)).kind == kind
    assert stand.phones.received == {}


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("twilio", b"To=%2B4915", b"To=0", "21211"),
        ("twilio", b"ValidityPeriod=3600", b"ValidityPeriod=36001", "90007"),
        ("twilio", b"&Body=", b"&X=", "21617"),
        ("huawei", b'"ttl":3600', b'"ttl":0', "80100003"),
        ("huawei", b'"actionType":0', b'"actionType":7', "80100003"),
        ("xiaomi", b"restricted_package_name=example.angelia", b"restricted_package_name=other", "22022"),
        ("xiaomi", b"time_to_live=3600000", b"time_to_live=x", "10017"),
        ("xiaomi", b"payload=", b"x=", "10016"),
    ],
)
def test_what_the_provider_refuses_is_refused(
    name: str, old: bytes, new: bytes, reason: str, tmp_path: Path
) -> None:
    kind, account = KINDS[name]
    stand = Stand(kind, tmp_path)
    provider = stand.provider(name, account)
    assert verdict(provider, send(stand, provider, old, new)).reason == reason
    assert stand.phones.received == {}


@pytest.mark.parametrize(
    ("name", "fate", "kind"),
    [
        ("twilio", {"status": 400, "error": "21610"}, "opted_out"),
        ("huawei", {"error": "80300007.noRight"}, "halt"),
        ("xiaomi", {"error": "bad_regids"}, "gone"),
    ],
)
def test_a_rule_answers_in_the_providers_shape(
    name: str, fate: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    maker, account = KINDS[name]
    stand = Stand(maker, tmp_path, fate)
    provider = stand.provider(name, account)
    assert verdict(provider, send(stand, provider)).kind == kind
    assert stand.phones.received == {}

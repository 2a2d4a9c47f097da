"""Twilio: texts to a number in E.164, a callback with our id, and what error codes mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import twilio
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, assert_golden, form
from tests.unit.delivery.channels.given import fields, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = twilio.TwilioAdapter("AC0", {"MessagingServiceSid": "MG0"}, "https://shop.example/sms?a=1")
ACCOUNT = {"account_sid": "AC0", "auth_token": "t"}
NUMBER = "+4915112345678"


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("twilio", name, ADAPTER, "+49 (151) 000-0001", form)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (201, {"sid": "SM1", "status": "queued"}, "accepted", None),
        (201, {}, "ambiguous", "answer_without_sid"),
        (400, {"code": 21610, "status": 400}, "opted_out", "21610"),
        (400, {"code": 21659, "status": 400}, "rejected", "21659"),
        (401, {"code": 20003}, "halt", "20003"),
        (429, {"code": 20429}, "throttled", "20429"),
        (503, None, "retry", "HTTP_503"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["0151 1234", "+0151123456", "+49151", "+49151,+49152", ""])
def test_an_address_is_a_number_with_its_country(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


@pytest.mark.parametrize(
    ("callback", "called"),
    [
        ("https://a.example/s", f"https://a.example/s?dispatch_id={MESSAGE.dispatch_id}"),
        ("https://a.example/s?x=1", f"https://a.example/s?x=1&dispatch_id={MESSAGE.dispatch_id}"),
        (None, None),
    ],
)
def test_the_callback_carries_the_dispatch_id(callback: str | None, called: str | None) -> None:
    adapter = twilio.TwilioAdapter("AC0", {"From": "+15005550006"}, callback)
    assert fields(adapter.build_request(MESSAGE._replace(address=NUMBER))).get("StatusCallback") == called


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, "1"), (60, "60"), (99_999, "36000")])
def test_a_message_waits_within_twilios_bounds(ttl_s: int, kept: str) -> None:
    sent = fields(ADAPTER.build_request(MESSAGE._replace(address=NUMBER, ttl_s=ttl_s)))
    assert sent["ValidityPeriod"] == kept


def test_the_limit_counts_title_and_body() -> None:
    refused = refusal(ADAPTER, address=NUMBER, title="t", body="x" * 1599)
    assert refused == ("payload_too_large", 1601, 1600)


def test_an_account_names_its_sender(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="name no sender"):
        opened(tmp_path, "twilio", ACCOUNT)
    provider = opened(tmp_path, "twilio", ACCOUNT | {"from": "+15005550006", "messaging_service_sid": "MG1"})
    sent = fields(provider.adapter.build_request(MESSAGE._replace(address=NUMBER)))
    assert (sent["MessagingServiceSid"], "From" in sent) == ("MG1", False)
    assert provider.credentials is not None
    assert provider.credentials.current() == b"Basic QUMwOnQ="

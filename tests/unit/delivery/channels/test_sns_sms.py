"""Texts by Amazon SNS: numbers in E.164, and a kind and a sender that SNS takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import sns_sms
from angelia.delivery.channels.sns import stand_in_publisher
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, assert_golden, form, unsigned
from tests.unit.delivery.channels.given import fields, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = sns_sms.SnsSmsAdapter(stand_in_publisher(), sender="Shop")
ACCOUNT = {"region": "eu-west-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}


OK = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
FAILED = "<ErrorResponse><Error><Code>%s</Code></Error><RequestId>1</RequestId></ErrorResponse>"


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("sns_sms", name, ADAPTER, "+49 (151) 000-0001", form, unsigned)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, OK, "accepted", None),
        (200, "<a/>", "ambiguous", "answer_without_code"),
        (404, FAILED % "NotFound", "halt", "NotFound"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["0151 1234", "+0151123456", "+49151", "+49151x234567", ""])
def test_an_address_is_a_number_with_its_country(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_the_limit_counts_title_and_body() -> None:
    room = sns_sms.TEXT_LIMIT_CHARS - len("t\n")
    ADAPTER.build_request(MESSAGE._replace(address="+4915112345678", title="t", body="x" * room))
    refused = refusal(ADAPTER, address="+4915112345678", title="t", body="x" * (room + 1))
    assert refused == ("payload_too_large", 1601, 1600)


@pytest.mark.parametrize("changes", [{"sms_type": "Urgent"}, {"sender_id": "a b"}, {"sender_id": "a" * 12}])
def test_a_kind_or_sender_that_sns_refuses_is_named(changes: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="sms_type or sender_id is malformed"):
        opened(tmp_path, "sns_sms", ACCOUNT | changes)


def test_a_transactional_text_says_so(tmp_path: Path) -> None:
    adapter = opened(tmp_path, "sns_sms", ACCOUNT | {"sms_type": "Transactional"}).adapter
    sent = fields(adapter.build_request(MESSAGE._replace(address="+4915112345678")))
    assert sent["MessageAttributes.entry.1.Name"] == "AWS.SNS.SMS.SMSType"
    assert sent["MessageAttributes.entry.1.Value.StringValue"] == "Transactional"

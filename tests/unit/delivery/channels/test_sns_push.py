"""Mobile push by Amazon SNS: the ARN says the platform, whose payload it gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.delivery.channels import sns_push
from angelia.delivery.channels.sns import stand_in_publisher
from tests.golden.wire import MESSAGES, assert_golden, form, unsigned
from tests.unit.delivery.channels.given import fields, meaning, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = sns_push.SnsPushAdapter(stand_in_publisher(sns_push.ERRORS))
ARN = "arn:aws:sns:eu-west-1:123456789012:endpoint/{}/shop/0f1e"


OK = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
FAILED = "<ErrorResponse><Error><Code>%s</Code></Error><RequestId>1</RequestId></ErrorResponse>"


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("sns_push", name, ADAPTER, ARN.format("GCM"), form, unsigned)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (404, FAILED % "NotFound", "gone", "NotFound"),
        (400, FAILED % "EndpointDisabled", "gone", "EndpointDisabled"),
        (403, FAILED % "SignatureDoesNotMatch", "halt", "SignatureDoesNotMatch"),
        (400, FAILED % "Throttling", "throttled", "Throttling"),
        (503, "<html>", "retry", "HTTP_503"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_to_apns_equal_their_golden_files(name: str) -> None:
    assert_golden("sns_apns", name, ADAPTER, ARN.format("APNS"), form, unsigned)


@pytest.mark.parametrize(
    "address",
    [
        ARN.format("ADM"),
        "arn:aws:sns:eu-west-1:123456789012:topic",
        ARN.format("GCM") + ",x",
        ARN.format("GCM").replace("123456789012", "12345678901"),
        "",
    ],
)
def test_an_address_is_an_endpoint_of_a_platform_we_know(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_each_platform_gets_the_lifetime_in_its_own_place() -> None:
    sent = fields(ADAPTER.build_request(MESSAGE._replace(address=ARN.format("APNS_SANDBOX"), ttl_s=-5)))
    assert sent["MessageAttributes.entry.1.Name"] == "AWS.SNS.MOBILE.APNS_SANDBOX.TTL"
    assert sent["MessageAttributes.entry.1.Value.StringValue"] == "0"
    sent = fields(ADAPTER.build_request(MESSAGE._replace(address=ARN.format("GCM"), ttl_s=9_999_999)))
    android = json.loads(json.loads(sent["Message"])["GCM"])["fcmV1Message"]["message"]["android"]
    assert android == {"ttl": "2419200s", "priority": "NORMAL", "collapse_key": "price_drop"}


def test_the_limit_is_the_platforms_own() -> None:
    refused = refusal(ADAPTER, address=ARN.format("APNS"), body="x" * 4096)
    assert refused[::2] == ("payload_too_large", 4096)

"""SNS: `Publish` signed for an account, its numbered attributes, and what its XML says."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.credentials import Credentials

from angelia.delivery.channels.base import ChannelConfig
from angelia.delivery.channels.sns import Publisher, open_publisher, stand_in_publisher
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer
from tests.unit.delivery.channels.given import fields

ACCOUNT = '{"region": "%s", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}'


def test_attributes_are_numbered_in_the_order_of_their_names() -> None:
    sent = fields(stand_in_publisher().request({"Message": "m"}, {"b": "2", "a": "1"}))
    assert (sent["Action"], sent["Version"], sent["Message"]) == ("Publish", "2010-03-31", "m")
    assert [sent[f"MessageAttributes.entry.{n}.Name"] for n in (1, 2)] == ["a", "b"]
    assert [sent[f"MessageAttributes.entry.{n}.Value.StringValue"] for n in (1, 2)] == ["1", "2"]


def test_a_signature_is_of_region_and_key() -> None:
    url = "https://sns.us-east-1.amazonaws.com/"
    request = Publisher(url, "us-east-1", Credentials("AKIDEXAMPLE", "secret")).request({"Message": "m"}, {})
    signed = dict(request.extra)[b"authorization"].decode()
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-east-1/sns/aws4_request" in signed
    assert request.path == b"/"


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (200, "<R><PublishResult><MessageId>m</MessageId></PublishResult></R>", "accepted", None),
        (200, "<R><PublishResult/></R>", "ambiguous", "answer_without_code"),
        (200, "<html>", "ambiguous", "answer_without_code"),
        (400, "<E><Error><Code>OptedOut</Code></Error></E>", "opted_out", "OptedOut"),
        (400, "<E><Error><Code>Novelty</Code></Error></E>", "rejected", "Novelty"),
        (403, "<E><Error><Code>ExpiredToken</Code></Error></E>", "halt", "ExpiredToken"),
        (500, "", "retry", "HTTP_500"),
        (429, "<html>", "throttled", "HTTP_429"),
    ],
)
def test_the_code_in_the_xml_decides(status: int, body: str, kind: str, reason: str | None) -> None:
    verdict = stand_in_publisher().classify(Answer(status, body.encode()))
    assert (verdict.kind, verdict.reason) == (kind, reason)
    assert verdict.provider_id == ("m" if kind == "accepted" else None)


def test_an_account_names_a_region_that_becomes_its_host(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text(ACCOUNT % "ap-southeast-2")
    config = ChannelConfig("second", "sns_sms", 60.0, credentials=path)
    assert open_publisher(config)[1] == "https://sns.ap-southeast-2.amazonaws.com"
    path.write_text(ACCOUNT % "evil.example/?")
    with pytest.raises(InvalidInput, match="region is malformed"):
        open_publisher(config)

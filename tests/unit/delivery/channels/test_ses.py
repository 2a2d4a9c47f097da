"""SES: a signed request around the mail that SMTP would send, and what exceptions mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from angelia.delivery.channels import ses
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer
from tests.golden.wire import MESSAGES, assert_golden, unsigned
from tests.unit.delivery.channels.given import meaning, opened, refusal

MAIL = SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret")
ADAPTER = ses.SesAdapter(
    MAIL, "https://email.eu-west-1.amazonaws.com", "eu-west-1", Credentials("AKIDEXAMPLE", "secret"), "shop"
)
ACCOUNT = {
    "from": "Shop <news@shop.example>",
    "unsubscribe_url": "https://shop.example/u",
    "unsubscribe_secret": "s",
    "region": "eu-west-1",
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "secret",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("ses", name, ADAPTER, "ann@people.example", show=unsigned)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"MessageId": "1"}, "accepted", None),
        (200, {}, "ambiguous", "answer_without_id"),
        (403, {"__type": "com.amazonaws#AccountSuspendedException"}, "halt", "AccountSuspendedException"),
        (502, None, "retry", "HTTP_502"),
        (404, {}, "halt", "HTTP_404"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


def test_the_exception_is_read_from_the_header_first() -> None:
    kind = ((b"x-amzn-errortype", b"TooManyRequestsException:http://internal.amazon.com/"),)
    verdict = ADAPTER.classify(Answer(429, b'{"__type":"BadRequestException"}', kind))
    assert (verdict.kind, verdict.reason) == ("throttled", "TooManyRequestsException")


@pytest.mark.parametrize("dispatch", ["a b", "", "a" * 257])
def test_an_id_that_is_no_tag_is_refused(dispatch: str) -> None:
    refused = refusal(ADAPTER, address="ann@people.example", dispatch_id=dispatch)
    assert refused[0] == "control_character:header"


@pytest.mark.parametrize("region", ["eu_west_1", "eu-west-1.evil.example/", "EU-WEST-1", "eu"])
def test_what_is_no_region_becomes_no_host(region: str, tmp_path: Path) -> None:
    assert opened(tmp_path, "ses_v2", ACCOUNT).base_url == "https://email.eu-west-1.amazonaws.com"
    with pytest.raises(InvalidInput, match="region is malformed"):
        opened(tmp_path, "ses_v2", ACCOUNT | {"region": region})


@pytest.mark.parametrize("changes", [{"unsubscribe_url": "http://shop.example/u"}, {"from": "Shop"}])
def test_a_sender_and_an_unsubscribe_address_are_usable(changes: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"sender is not an address|unsubscribe_url is not an https address"
    ):
        opened(tmp_path, "ses_v2", ACCOUNT | changes)

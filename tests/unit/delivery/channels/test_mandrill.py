"""Mandrill: the mail that SMTP would send, and one answer for its one recipient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import mandrill
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

MAIL = SmtpAdapter(Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret")
ADAPTER = mandrill.MandrillAdapter(MAIL, "news@shop.example", "md-key")
ACCOUNT = {
    "from": "Shop <news@shop.example>",
    "unsubscribe_url": "https://shop.example/u",
    "unsubscribe_secret": "s",
    "api_key": "md-key",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("mandrill", name, ADAPTER, "ann@people.example")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, [{"status": "queued", "_id": "m"}], "accepted", None),
        (200, [{"status": "rejected", "reject_reason": "spam"}], "opted_out", "spam"),
        (200, [{"status": "invalid"}], "gone", "invalid"),
        (200, [{"status": "novelty"}], "rejected", "novelty"),
        (200, [], "ambiguous", "answer_without_code"),
        (500, {"status": "error", "name": "Invalid_Key"}, "halt", "Invalid_Key"),
        (500, {"status": "error", "name": "ValidationError"}, "rejected", "ValidationError"),
        (502, None, "retry", "HTTP_502"),
        (200, [{"status": "rejected", "reject_reason": "hard-bounce"}], "gone", "hard-bounce"),
        (200, "{", "ambiguous", "answer_without_code"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


def test_the_message_is_the_mail_with_our_id_as_metadata() -> None:
    message = MESSAGE._replace(address="ann@people.example")
    raw = document(ADAPTER.build_request(message))["raw_message"]
    mark, _, mail = raw.partition("\r\n")
    assert mark == f'X-MC-Metadata: {{"dispatch_id":"{MESSAGE.dispatch_id}"}}'
    assert mail == MAIL.build_request(message).body.decode()


@pytest.mark.parametrize("dispatch", ['a"b', "a\r\nBcc: x@y.example", "", "a" * 129])
def test_an_id_that_could_end_the_metadata_is_refused(dispatch: str) -> None:
    refused = refusal(ADAPTER, address="ann@people.example", dispatch_id=dispatch)
    assert refused[0] == "control_character:header"


@pytest.mark.parametrize(
    "changes",
    [
        {"unsubscribe_url": "http://shop.example/u"},
        {"unsubscribe_url": "https://shop.example/u?x=1"},
        {"from": "news@"},
    ],
)
def test_a_sender_and_an_unsubscribe_address_are_usable(changes: dict[str, str], tmp_path: Path) -> None:
    assert opened(tmp_path, "mandrill", ACCOUNT).base_url == mandrill.BASE_URL
    with pytest.raises(
        InvalidInput, match=r"sender is not an address|unsubscribe_url is not an https address"
    ):
        opened(tmp_path, "mandrill", ACCOUNT | changes)

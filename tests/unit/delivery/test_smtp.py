"""E-mail: one-click headers, texts that cannot end one, TLS or nothing, what replies mean."""

from __future__ import annotations

import email
import email.policy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelia.delivery.channels import smtp
from angelia.delivery.channels.base import ChannelConfig, MessageRejected
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.given import MAIL, MESSAGE


def test_mail_carries_one_click_unsubscribing() -> None:
    request = MAIL.build_request(
        MESSAGE._replace(address="ann@people.example", link="https://shop.example/x?a=1", title="Grüße 你好")
    )
    mail = email.message_from_bytes(request.body, policy=email.policy.default)
    token = smtp.unsubscribe_token(b"secret", MESSAGE.dispatch_id)
    link = f"<https://shop.example/u?d={MESSAGE.dispatch_id}&t={token}>"
    assert (
        f"\r\nList-Unsubscribe: {link}\r\n".encode() in request.body
    )  # as bytes: an encoded word would be no address
    assert mail["List-Unsubscribe"] == link
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Message-ID"] == f"<{MESSAGE.dispatch_id}@shop.example>"
    assert (mail["Subject"], mail["To"]) == ("Grüße 你好", "ann@people.example")
    assert mail.get_content().splitlines() == ["Hello Ann, it costs less.", "", "https://shop.example/x?a=1"]
    assert MAIL.build_request(MESSAGE._replace(address="ann@people.example")) == MAIL.build_request(
        MESSAGE._replace(address="ann@people.example")
    )


EVIL = [
    "a@b.example\r\nBcc: x@y.example",
    "a@b.example>",
    "<a@b.example>",
    "a@b.example,c@d.example",
    "a b@c.example",
    "a@localhost",
    "a@[127.0.0.1]",
]


@pytest.mark.parametrize(
    "address",
    [
        *EVIL,
        "",
        "@",
        "é@b.example",
        "a@b..example",
        "a@-b.example",
        "x" * 250 + "@b.example",
        '"a b"@c.example',
    ],
)
def test_mail_addresses_that_could_end_a_header_are_refused(address: str) -> None:
    with pytest.raises(MessageRejected, match="bad_address"):
        MAIL.build_request(MESSAGE._replace(address=address))


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_makes_a_header(title: str, body: str) -> None:
    message = MESSAGE._replace(address="ann@people.example", title=title, body=body)
    try:
        request = MAIL.build_request(message)
    except (MessageRejected, UnicodeEncodeError):
        return
    head = request.body.partition(b"\r\n\r\n")[0]
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")}
    own = {b"from", b"to", b"subject", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post"}
    assert names <= own | {b"content-type", b"content-transfer-encoding", b"mime-version"}


@pytest.mark.parametrize("evil", ["x\r\nBcc: a@b.example", "x\nBcc: a", "x\x00", "x\u2028y", "x\x85y"])
def test_control_characters_in_the_subject_are_refused(evil: str) -> None:
    with pytest.raises(MessageRejected, match="control_character"):
        MAIL.build_request(MESSAGE._replace(address="ann@people.example", title=evil))


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [(250, b"2.0.0 ok", "accepted"), (550, b"5.1.1 who", "gone"), (550, b"no such user", "rejected"),
    (550, b"5.7.1 policy", "halt"),
     (535, b"5.7.8 no", "halt"), (450, b"4.2.0 later", "retry"), (421, b"4.7.0 slow", "throttled"),
     (421, b"", "throttled"), (499, b"", "retry"),
     (554, b"5.1.1x", "rejected")],
)  # fmt: skip
def test_mail_answers(code: int, text: bytes, kind: str) -> None:
    assert MAIL.classify(Answer(code, text)).kind == kind


def test_mail_configuration_that_cannot_work(tmp_path: Path) -> None:
    path = tmp_path / "email.json"
    good = {"from": "a@b.example", "unsubscribe_url": "https://b.example/u", "unsubscribe_secret": "s"}
    for change, url, text in (
        ({"unsubscribe_url": "http://b.example/u"}, "smtps://m.example", "https"),
        ({"from": "a@b.example\nBcc: x@y.example"}, "smtps://m.example", "not an address"),
        ({}, "http://m.example", "smtps"),
        ({}, None, "smtps"),
        ({"unsubscribe_secret": ""}, "smtps://m.example", "lacks unsubscribe_secret"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(InvalidInput, match=text):
            smtp.open_provider(ChannelConfig("email", "smtp", 60.0, url, path))
    path.write_text(json.dumps(good))
    assert not smtp.open_provider(
        ChannelConfig("email", "smtp", 60.0, "smtps://mail.example", path)
    ).may_rehearse


@pytest.mark.parametrize("name", MESSAGES)
def test_mails_equal_their_golden_files(name: str) -> None:
    def lines(body: bytes) -> list[str]:
        return body.decode().split("\r\n")

    assert_golden("email", name, MAIL, "ann@people.example", lines)

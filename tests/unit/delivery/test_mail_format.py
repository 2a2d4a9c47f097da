"""Mail on the wire: lines within limits, words unchanged, one sender, IDNA domains."""

from __future__ import annotations

import email
import email.policy
import json
import re
from email.header import decode_header, make_header
from email.utils import getaddresses
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from angelia.delivery.channels import smtp
from angelia.delivery.channels.base import ChannelConfig, Message, MessageRejected
from angelia.delivery.channels.mail_format import Mailbox, parse_mailbox
from angelia.errors import InvalidInput
from angelia.transport.addresses import ascii_address

MESSAGE = Message(
    "ann@people.example", "0a" * 16, "Title", "Body", "https://shop.example/x", "sale", 60, True
)
WORD = re.compile(rb"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")


def adapter(sender: str = "Shop <news@shop.example>") -> smtp.SmtpAdapter:
    mailbox = parse_mailbox(sender)
    assert mailbox is not None
    return smtp.SmtpAdapter(mailbox, "https://shop.example/u", b"secret")


def built(message: Message, sender: str = "Shop <news@shop.example>") -> tuple[bytes, email.message.Message]:
    """Return a mail as it is sent, after checking every line of it, and as it is read."""
    raw = adapter(sender).build_request(message).body
    assert raw.count(b"\n") == raw.count(b"\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        assert line.strip()
        assert not WORD.search(line) or len(line) <= 76, line
        assert len(line) <= 998
    assert all(len(word) <= 75 for word in WORD.findall(head))
    assert all(len(line) <= 76 for line in body.split(b"\r\n"))
    return raw, email.message_from_bytes(raw, policy=email.policy.default)


@pytest.mark.parametrize(
    "title",
    [
        "x",
        "Sale",
        "語" * 300,
        "Größe " * 100,
        "Ü  doppelt   " + "langer Titel " * 20 + "é",
        "a" * 900,
        "only ascii words " * 20 + "end",
        "two  blanks " * 20 + "end",
        "🎉" * 120,
        "a?=b =? c",
        '"quoted", <odd> (title)',
    ],
)
def test_long_titles_are_folded_and_read_as_written(title: str) -> None:
    _, mail = built(MESSAGE._replace(title=title))
    assert mail["Subject"] == title


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=300))
def test_any_title_is_read_as_written(title: str) -> None:
    assume("=?" not in title)
    _, mail = built(MESSAGE._replace(title=title))
    assert mail["Subject"].split() == title.split()


@pytest.mark.parametrize(
    "body",
    ["x" * 5_000, "語" * 5_000, "ü" * 900 + "\n" + "y" * 999, "short\n\nlines", "=" * 200, ".\n..\n" * 50],
)
def test_long_bodies_are_encoded_in_short_lines(body: str) -> None:
    _, mail = built(MESSAGE._replace(body=body, link=None))
    assert mail.get_content().replace("\r\n", "\n") == body + "\n"


@pytest.mark.parametrize(
    ("sender", "name", "address"),
    [
        ("news@shop.example", "", "news@shop.example"),
        ("Shop <news@shop.example>", "Shop", "news@shop.example"),
        ("Shop, Inc. <n@s.example>", "Shop, Inc.", "n@s.example"),
        ('"Shop, Inc." <n@s.example>', "Shop, Inc.", "n@s.example"),
        ('"The \\"Shop\\"" <n@s.example>', 'The "Shop"', "n@s.example"),
        ("a@b.example, Shop <n@s.example>", "a@b.example, Shop", "n@s.example"),
        ("Größe & Söhne, Nürnberg <n@s.example>", "Größe & Söhne, Nürnberg", "n@s.example"),
        ("語" * 60 + " <n@s.example>", "語" * 60, "n@s.example"),
        ("A very long name of a shop, " * 6 + "Inc. <n@s.example>", None, "n@s.example"),
        ("Shop <n@müller.example>", "Shop", "n@xn--mller-kva.example"),
    ],
)
def test_a_sender_is_one_mailbox(sender: str, name: str | None, address: str) -> None:
    raw, mail = built(MESSAGE, sender)
    assert [mailbox.addr_spec for mailbox in mail["From"].addresses] == [address]
    # Python 3.11's newer reader puts blanks between the encoded words of a name; its older one does not.
    ((written, _),) = getaddresses([str(email.message_from_bytes(raw)["From"])])
    shown = str(make_header(decode_header(written)))
    assert shown == (sender.rpartition("<")[0].strip() if name is None else name)
    assert mail["Message-ID"] == f"<{MESSAGE.dispatch_id}@{address.partition('@')[2]}>"


@pytest.mark.parametrize(
    "sender",
    ["", "Shop", "a@b.example, c@d.example", "Shop <a@b.example>, X <c@d.example>", "ü@b.example", "<>"],
)
def test_a_sender_that_is_none_or_several_is_refused(tmp_path: Path, sender: str) -> None:
    path = tmp_path / "email.json"
    account = {"from": sender or " ", "unsubscribe_url": "https://b.example/u", "unsubscribe_secret": "s"}
    path.write_text(json.dumps(account), "utf-8")
    with pytest.raises(InvalidInput, match="sender is not an address"):
        smtp.open_provider(ChannelConfig("email", "smtp", 60.0, "smtps://m.example", path))


@pytest.mark.parametrize("url", ["https://müller.example/u", "https://b.example/" + "u" * 800])
def test_an_unsubscribe_address_no_header_holds_is_refused(tmp_path: Path, url: str) -> None:
    path = tmp_path / "email.json"
    account = {"from": "a@b.example", "unsubscribe_url": url, "unsubscribe_secret": "s"}
    path.write_text(json.dumps(account), "utf-8")
    with pytest.raises(InvalidInput, match="at most 800 ASCII characters"):
        smtp.open_provider(ChannelConfig("email", "smtp", 60.0, "smtps://m.example", path))


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("ann@people.example", "ann@people.example"),
        ("ann@müller.example", "ann@xn--mller-kva.example"),
        ("ann@MÜLLER.example", "ann@xn--mller-kva.example"),
        ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("ännchen@people.example", None),
        ("ann@mül ler.example", None),
        ("ann@-ü.example", None),
        ("ann@" + "ü" * 70 + ".example", None),
        ("ann@ü..example", None),
        ("ann@ü", None),
    ],
)
def test_domains_are_written_by_idna(address: str, plain: str | None) -> None:
    assert ascii_address(address) == plain
    if plain is None:
        with pytest.raises(MessageRejected, match="bad_address"):
            adapter().build_request(MESSAGE._replace(address=address))
        return
    request = adapter().build_request(MESSAGE._replace(address=address))
    assert request.path == plain.encode()
    assert f"\r\nTo: {plain}\r\n".encode() in request.body


def test_addresses_and_links_are_never_folded() -> None:
    long = f"{'a' * 64}@{'d' * 63}.{'e' * 63}.example"
    sender = smtp.SmtpAdapter(Mailbox("N", long), "https://shop.example/" + "u" * 700, b"secret")
    raw = sender.build_request(MESSAGE._replace(address=long)).body
    assert f"\r\nTo: {long}\r\n".encode() in raw
    assert b"From: N\r\n <" + long.encode() + b">\r\n" in raw
    assert f"Message-ID: <{MESSAGE.dispatch_id}@{long.partition('@')[2]}>\r\n".encode() in raw
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["List-Unsubscribe"].startswith("<https://shop.example/uuu")


@pytest.mark.pain(15)
def test_whatever_follows_links_unsubscribes_nobody() -> None:
    """A scanner opens every link of a mail (GET), and none of them unsubscribes.

    Only the header does, by POST, with a token of this one mail.
    """
    adapter = smtp.SmtpAdapter(Mailbox("", "news@shop.example"), "https://shop.example/u", b"key")
    message = Message(
        "ann@people.example", "ab" * 16, "Sale", "Hello Ann.", "https://shop.example/sale", None, 60, False
    )
    mail = email.message_from_bytes(adapter.build_request(message).body, policy=email.policy.default)
    body = mail.get_body(("plain",)).get_content()
    assert re.findall(r"https?://\S+", body) == ["https://shop.example/sale"]
    assert (
        mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    )  # RFC 8058: receivers POST this, and nothing happens on GET
    link = urlsplit(mail["List-Unsubscribe"].strip("<>"))
    assert (link.scheme, link.netloc, link.path) == ("https", "shop.example", "/u")
    query = parse_qs(link.query)
    assert query == {"d": ["ab" * 16], "t": [smtp.unsubscribe_token(b"key", "ab" * 16)]}
    assert query["t"] != [smtp.unsubscribe_token(b"key", "cd" * 16)]
    assert query["t"] != [smtp.unsubscribe_token(b"other", "ab" * 16)]

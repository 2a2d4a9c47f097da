"""Texts that try to become headers, commands, recipients or fields.

They stand on every channel, in every text of a row that comes from outside.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelia.delivery.channels import smtp
from angelia.delivery.channels.apns import ApnsAdapter
from angelia.delivery.channels.base import ChannelConfig, Message, MessageRejected
from angelia.delivery.channels.fcm import FcmAdapter
from angelia.delivery.channels.mail_format import Mailbox
from angelia.delivery.channels.smtp import SmtpAdapter
from angelia.delivery.channels.webhook import WebhookAdapter
from angelia.errors import InvalidInput
from angelia.sandbox.keys import make_tls
from angelia.transport.safe_http import SafeHttp
from angelia.transport.wire import Answer, Request

ENDS = [
    "\r\n",
    "\n",
    "\r",
    "\n\r",
    "\r\r\n",
    "\x00",
    "\x00\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\u560d\u560a",
]
ENDS += [
    "%0d%0a",
    "%0D%0A",
    "\\r\\n",
    "&#13;&#10;",
    "=0D=0A",
    "=?utf-8?q?=0d=0a?=",
    "\r\n ",
    "\r\n\t",
    "\n ",
    "\u000a\u0020",
    "\ufeff\r\n",
    "\ud800\r\n",
]
MORE = [
    "Bcc: evil@evil.example",
    "X-Evil: 1",
    "\r\n\r\n<script>",
    "Content-Type: text/html\r\n\r\n<b>",
    "RCPT TO:<evil@evil.example>",
    ".\r\nMAIL FROM:<x@y.example>",
]
MORE += [
    "apns-topic: evil",
    "webhook-signature: v1,AAAA",
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST / HTTP/1.1",
    '"}}, {"message": {',
    "authorization: bearer x",
]
CORPUS = [f"a{end}{more}" for end in ENDS for more in MORE] + ["\r\n", "\n.\n", "\r\n.\r\n", "a\r\n.\r\nQUIT"]
GOOD = {"fcm": "tok", "apns": "ab" * 32, "email": "ann@people.example", "webhook": "https://hooks.example/x"}
ADAPTERS = {
    "fcm": FcmAdapter("p"),
    "apns": ApnsAdapter("topic", lambda: 1.0),
    "email": SmtpAdapter(Mailbox("", "news@shop.example"), "https://shop.example/u", b"k"),
    "webhook": WebhookAdapter(b"k", lambda: 1.0),
}
MAIL_HEADERS = {
    "from", "to", "subject", "message-id", "list-unsubscribe", "list-unsubscribe-post", "content-type",
    "content-transfer-encoding", "mime-version",
    "importance",
}  # fmt: skip


def messages(channel: str, evil: str) -> Iterator[tuple[str, Message]]:
    """Yield a message with the text in each place."""
    good = Message(GOOD[channel], "ab" * 16, "title", "body", "https://shop.example/x", "key", 60, False)
    for place in ("address", "dispatch_id", "title", "body", "link", "collapse_key"):
        yield place, good._replace(**{place: evil})
    yield "address", good._replace(address=GOOD[channel] + evil)
    yield "dispatch_id", good._replace(dispatch_id="ab" * 16 + evil)


def check(channel: str, message: Message, request: Request) -> None:
    """Assert that a request has its expected fields and no other, with texts as given."""
    for name, value in (*request.headers, *request.extra):
        assert name.isascii()
        assert not any(byte < 32 or byte == 127 for byte in value)
    assert not any(byte < 33 or byte == 127 for byte in request.path)
    if channel == "email":
        head, _, _ = request.body.partition(b"\r\n\r\n")
        assert all(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
        assert b"\n" not in head.replace(b"\r\n", b"") and b"\r" not in head.replace(b"\r\n", b"")  # noqa: PT018
        mail = email.message_from_bytes(request.body, policy=email.policy.default)
        assert {name.lower() for name in mail} <= MAIL_HEADERS
        assert len(mail.keys()) == len(set(mail.keys()))
        assert mail["To"].addresses[0].addr_spec == request.path.decode() == GOOD["email"]
        assert len(mail["To"].addresses) == 1
    elif channel == "fcm":
        document = json.loads(request.body)
        assert set(document) == {"message"}
        assert set(document["message"]) == {"token", "notification", "data", "android", "apns"}
        assert document["message"]["token"] == message.address
        assert document["message"]["notification"] == {"title": message.title, "body": message.body}
        assert document["message"]["data"]["dispatch_id"] == message.dispatch_id
        assert set(document["message"]["data"]) == {"dispatch_id", "link"}
    else:
        document = json.loads(request.body)
        assert document["dispatch_id"] == message.dispatch_id
        assert len(request.extra) == len({name for name, _ in request.extra})
        if channel == "apns":
            assert set(document) == {"aps", "link", "dispatch_id"}
            assert document["aps"] == {"alert": {"title": message.title, "body": message.body}}


@pytest.mark.parametrize("channel", sorted(ADAPTERS))
def test_no_text_of_the_corpus_becomes_a_field(channel: str) -> None:
    tried = refused = 0
    for evil in CORPUS:
        for place, message in messages(channel, evil):
            tried += 1
            try:
                request = ADAPTERS[channel].build_request(message)
            except (MessageRejected, UnicodeEncodeError):
                refused += 1
                continue
            assert (
                place not in ("address", "dispatch_id")
                or channel in ("fcm", "email")
                or not any(ord(c) < 32 for c in evil)
            ), evil
            check(channel, message, request)
    assert tried == len(CORPUS) * 8
    assert 0 < refused < tried
    assert len(CORPUS) > 300


TEXT = (
    st.text(st.characters(), max_size=40)
    | st.text("\r\n\x00 :<>@a.\u2028\x85", max_size=20)
    | st.text("=?qQbB0aAdD*utf-8_ ", max_size=40)
)


@given(channel=st.sampled_from(sorted(ADAPTERS)), texts=st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT))
def test_no_text_at_all_becomes_a_field(channel: str, texts: tuple[str, str, str, str, str]) -> None:
    title, body, link, collapse, dispatch = texts
    message = Message(GOOD[channel], dispatch or "ab" * 16, title, body, link or "x", collapse, 60, True)
    try:
        request = ADAPTERS[channel].build_request(message)
    except (MessageRejected, UnicodeEncodeError):
        return
    check(channel, message, request)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    folder = tmp_path_factory.mktemp("tls")
    return make_tls(folder, ("127.0.0.1",)), folder / "ca.pem"


@given(text=TEXT)
def test_a_value_from_an_outside_adapter_cannot_end_a_header(
    tls: tuple[ssl.SSLContext, Path], text: str
) -> None:
    """The last defence, for adapters from outside: HTTP/1.1 to addresses that others choose."""
    value = text.encode("utf-8", "surrogatepass")
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"{}"))[:-6])
        writer.write(b"HTTP/1.1 200 -\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async def main() -> Answer:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls[0])
        client = SafeHttp(5.0, ca_file=tls[1], allow_private=True)
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        client.submit(
            Request(url.encode(), ((b"x-a", value),), b"{}"),
            b"",
            lambda _, answer: done.set_result(answer),
            None,
        )
        answer = await asyncio.wait_for(done, 20)
        await client.close()
        server.close()
        await asyncio.sleep(0)  # lets the server's side of the connection end
        return answer

    answer = asyncio.run(main())
    if heads:
        assert answer.status == 200
        (head,) = heads
        _, *lines = head.split(b"\r\n")
        names = sorted(line.split(b":")[0].lower() for line in lines)
        assert names == [b"connection", b"content-length", b"host", b"user-agent", b"x-a"]
        assert b"x-a: " + value in lines
    else:
        assert answer.failure == "address_refused"


@pytest.mark.parametrize(
    "sender",
    [
        f"Shop{end}Bcc: evil@evil.example <news@shop.example>"
        for end in ("\r\n", "\n", "\r", "\x00", "\u2028", "\x85", "=?utf-8?q?=0d=0a?=")
    ],
)
def test_a_sender_that_holds_a_header_is_refused(sender: str, tmp_path: object) -> None:
    path = Path(str(tmp_path)) / "email.json"
    path.write_text(
        json.dumps({"from": sender, "unsubscribe_url": "https://shop.example/u", "unsubscribe_secret": "s"})
    )
    with pytest.raises(InvalidInput):
        smtp.open_provider(ChannelConfig("email", "smtp", 60.0, "smtps://mail.example", path))

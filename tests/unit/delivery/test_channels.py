"""APNs, e-mail and webhook: what each answer means, what is refused before it is sent, and a whole delivery
of each through the sandbox.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import signal
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from angelia.delivery.channels import apns, mail_format, smtp, webhook
from angelia.delivery.channels.base import ChannelConfig, Message, MessageRejected, Verdict
from angelia.delivery.manifest import sample_plan
from angelia.delivery.worker.options import Options, Result
from angelia.delivery.worker.run import Delivery
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.sandbox.keys import make_tls
from angelia.sandbox.phones import Phones
from angelia.sandbox.server import serve
from angelia.transport.smtp_transport import SmtpTransport
from angelia.transport.wire import NOT_SENT, Answer

DS, HOUR = "2026-11-14", "2026-11-15T04"
MESSAGE = Message(
    "ab" * 32, "ab" * 16, "Price drop: camera", "Hello Ann, it costs less.", None, "price_drop", 3600, False
)
ADDRESSES = {"apns": lambda n: f"{n:064x}", "email": lambda n: f"ann.{n}@people.example"}


def run(
    lake: Lake, folder: Path, channel: str, monkeypatch: pytest.MonkeyPatch, rules: str = ""
) -> tuple[Result, Phones]:
    """Deliver 200 rows of a channel to a sandbox in this process."""
    path = None
    if rules:
        path = folder / "rules.yaml"
        path.write_text(rules)

    async def main() -> tuple[Result, Phones]:
        ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(serve(folder, rules=path, announce=ready.set_result, max_seconds=60))
        names = await ready
        monkeypatch.setenv("ANGELIA_CA_FILE", names["ca_file"])
        monkeypatch.setenv(f"ANGELIA_{channel.upper()}_CREDENTIALS", names[f"{channel}_credentials"])
        if channel != "webhook":
            monkeypatch.setenv(
                f"ANGELIA_{channel.upper()}_URL", names["smtp_url" if channel == "email" else "url"]
            )
        address = ADDRESSES.get(channel, lambda n: f"{names['url']}/hook/r{n:03d}")
        sample_plan.make(lake, DS, 200, changes={"channel": channel, "address": address})
        result = await Delivery(lake, Options(DS, (HOUR,), simulated=True, request_timeout_s=5.0)).run()
        os.kill(os.getpid(), signal.SIGINT)  # SIGTERM was the worker's
        return result, await server

    return asyncio.run(main())


def reasons(lake: Lake) -> dict[str, int]:
    """Count the ledger's reasons."""
    found: dict[str, int] = {}
    for leaf in lake.partitions("delivery_ledger", ds=DS):
        for reason in lake.read(lake.require("delivery_ledger", **leaf))["reason"].to_pylist():
            found[reason] = found.get(reason, 0) + 1
    return found


@pytest.mark.parametrize("channel", ["apns", "email", "webhook"])
def test_every_channel_delivers_each_message_once(
    channel: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, phones = run(lake, tmp_path, channel, monkeypatch)
    assert result.delivered == {"accepted": 200}
    manifest = lake.read(lake.require("dispatch_manifest", ds=DS), ["dispatch_id"])["dispatch_id"].to_pylist()
    assert phones.received == dict.fromkeys(
        manifest, 1
    )  # the dispatch id travels in the provider's own field
    assert phones.doubled == 0
    assert any("Preissturz" in title or "Price drop" in title for _, _, title, _ in phones.recent)


FAULTS = {
    "apns": (
        f"""
rules:
  - {{match: {{token_prefix: "{3:064x}"}}, then: {{status: 410, error: Unregistered, gone_s: 3600}}}}
  - {{match: {{token_prefix: "{4:064x}"}}, then: {{status: 400, error: BadDeviceToken}}}}
  - {{match: {{token_prefix: "{5:064x}", max: 2}}, then: {{status: 503, error: ServiceUnavailable}}}}
  - {{match: {{token_prefix: "{6:064x}", max: 1}}, then: {{refuse: true}}}}
""",
        {"accepted": 198, "rejected": 2},
        {None: 198, "gone:Unregistered": 1, "BadDeviceToken": 1},
    ),
    "email": (
        """
rules:
  - {match: {token_prefix: ann.3@}, then: {status: 550, error: 5.1.1 no such user}}
  - {match: {token_prefix: ann.4@}, then: {status: 552, error: 5.3.4 too large, drip: true}}
  - {match: {token_prefix: ann.5@, max: 2}, then: {status: 450, error: 4.2.0 greylisted}}
  - {match: {token_prefix: ann.6@, max: 1}, then: {reset: before}}
  - {match: {token_prefix: ann.7@}, then: {reset: after}}
""",
        {"accepted": 197, "rejected": 2, "ambiguous": 1},
        {None: 197, "gone:SMTP_550_5.1.1": 1, "SMTP_552_5.3.4": 1, "no_answer": 1},
    ),
    "webhook": (
        """
rules:
  - {match: {token_prefix: r003}, then: {status: 410}}
  - {match: {token_prefix: r004}, then: {status: 302, location: "http://169.254.169.254/latest/meta-data/"}}
  - {match: {token_prefix: r005, max: 2}, then: {status: 429, retry_after: "1"}}
  - {match: {token_prefix: r007}, then: {reset: after}}
""",
        {"accepted": 197, "rejected": 2, "ambiguous": 1},
        {None: 197, "gone:HTTP_410": 1, "redirect": 1, "no_answer": 1},
    ),
}


@pytest.mark.parametrize("channel", sorted(FAULTS))
def test_what_goes_wrong_is_accounted_for(
    channel: str, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, outcomes, expected = FAULTS[channel]
    result, phones = run(lake, tmp_path, channel, monkeypatch, rules)
    assert result.delivered == outcomes
    assert reasons(lake) == expected
    assert phones.doubled == 0
    gone = lake.read_log("suppressions").to_pylist()
    assert [(entry["user_id"], entry["channel"], entry["reason"]) for entry in gone] == [
        ("u00000003", channel, "gone")
    ]


# ---- APNs


def test_a_young_apns_token_is_kept() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    now = [1_800_000_000.0]
    token = apns.ProviderToken({"team_id": "TEAM", "key_id": "KEY", "private_key": pem}, lambda: now[0])
    assert token.current() is None
    asyncio.run(token.refresh(None))
    first = token.current()
    assert first is not None
    claims = jwt.decode(
        first.split()[1], key.public_key(), algorithms=["ES256"], options={"verify_iat": False}
    )
    assert claims == {"iss": "TEAM", "iat": 1_800_000_000}
    assert jwt.get_unverified_header(first.split()[1])["kid"] == "KEY"
    now[0] += 49 * 60
    assert token.current() == first
    now[0] += 60
    assert token.current() is None
    asyncio.run(token.refresh(None))
    assert token.current() != first
    now[0] += 19 * 60
    with pytest.raises(AngeliaError, match="less than 20 minutes"):
        asyncio.run(token.refresh(token.current()))
    with pytest.raises(InvalidInput, match="unusable"):
        asyncio.run(apns.ProviderToken({"team_id": "T", "key_id": "K", "private_key": "x"}).refresh(None))


@pytest.mark.parametrize(
    ("given_answer", "verdict"),
    [
        (Answer(200, b"", ((b"apns-id", b"x"),)), Verdict("accepted", None, "x")),
        (
            Answer(410, b'{"reason":"Unregistered","timestamp":1700000000123}'),
            Verdict("gone", "Unregistered", None, 1_700_000_000_123_000),
        ),
        (Answer(410, b'{"reason":"ExpiredToken"}'), Verdict("gone", "ExpiredToken")),
        (Answer(400, b'{"reason":"BadDeviceToken","timestamp":1}'), Verdict("rejected", "BadDeviceToken")),
        (Answer(403, b'{"reason":"ExpiredProviderToken"}'), Verdict("auth", "ExpiredProviderToken")),
        (Answer(403, b'{"reason":"InvalidProviderToken"}'), Verdict("halt", "InvalidProviderToken")),
        (Answer(403, b'{"reason":"Novelty"}'), Verdict("halt", "Novelty")),
        (Answer(429, b'{"reason":"TooManyRequests"}'), Verdict("retry", "TooManyRequests")),
        (
            Answer(429, b'{"reason":"TooManyProviderTokenUpdates"}'),
            Verdict("throttled", "TooManyProviderTokenUpdates"),
        ),
        (Answer(503, b"<html>"), Verdict("retry", "HTTP_503")),
        (Answer(400, b"[]"), Verdict("rejected", "HTTP_400")),
        (Answer(418, b'{"reason":7}'), Verdict("rejected", "HTTP_418")),
    ],
)
def test_apns_answers(given_answer: Answer, verdict: Verdict) -> None:
    assert apns.ApnsAdapter("topic").classify(given_answer) == verdict


@pytest.mark.parametrize(
    "address",
    ["", "../../x", "ab" * 7, "zz" * 32, "ab" * 32 + "\r\nx: y", "ab" * 32 + "/../" + "0" * 8, "ab" * 101],
)
def test_apns_addresses_that_are_no_token_never_become_a_path(address: str) -> None:
    with pytest.raises(MessageRejected, match="bad_address"):
        apns.ApnsAdapter("topic").build_request(MESSAGE._replace(address=address))


def test_apns_payload_limit() -> None:
    with pytest.raises(MessageRejected, match="payload_too_large"):
        apns.ApnsAdapter("topic").build_request(MESSAGE._replace(body="é" * 2100))


# ---- e-mail

MAIL = smtp.SmtpAdapter(mail_format.Mailbox("Shop", "news@shop.example"), "https://shop.example/u", b"secret")


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


def test_mail_never_speaks_in_clear(tmp_path: Path) -> None:
    """A server without STARTTLS, and nobody listening at all: not sent, retried by the worker."""

    async def main() -> list[Answer]:
        said: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 plain\r\n")
            while line := await reader.readline():
                said.append(line)
                writer.write(b"250 plain\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = []
        for at in (port, 1):
            transport = SmtpTransport(
                "127.0.0.1", at, "a@b.example", ("user", "password"), 2.0, is_implicit=False
            )
            done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            transport.submit(
                MAIL.build_request(MESSAGE._replace(address="ann@people.example")),
                b"",
                lambda _, a, f=done: f.set_result(a),
                None,
            )
            answers.append(await done)
            await transport.close()
        server.close()
        await server.wait_closed()
        assert not any(b"AUTH" in line.upper() or b"MAIL" in line.upper() for line in said)
        return answers

    assert [answer.failure for answer in asyncio.run(main())] == [NOT_SENT, NOT_SENT]


@pytest.mark.parametrize(("pause_s", "failure"), [(0.0, None), (0.2, NOT_SENT)])
def test_mail_that_took_too_long_is_not_ended(pause_s: float, failure: str | None, tmp_path: Path) -> None:
    """Each reply comes in time, all together do not: without its final dot a server forgets the message."""

    async def main() -> tuple[Answer, list[bytes]]:
        said: list[bytes] = []
        replies = {b"DATA": b"354 go on", b"EHLO": b"250-here\r\n250 8BITMIME"}

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 here\r\n")
            is_data = False
            while line := await reader.readline():
                said.append(line)
                if not is_data or line == b".\r\n":
                    await asyncio.sleep(pause_s)
                    writer.write(replies.get(line[:4].upper(), b"250 ok") + b"\r\n")
                is_data = line[:4].upper() == b"DATA" or (is_data and line != b".\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=make_tls(tmp_path, ("127.0.0.1",)))
        port = server.sockets[0].getsockname()[1]
        transport = SmtpTransport(
            "127.0.0.1", port, "a@b.example", None, 0.5, is_implicit=True, ca_file=tmp_path / "ca.pem"
        )
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        transport.submit(
            MAIL.build_request(MESSAGE._replace(address="ann@people.example")),
            b"",
            lambda _, answer: done.set_result(answer),
            None,
        )
        answer = await done
        await transport.close()
        await asyncio.sleep(0.05)
        server.close()
        await server.wait_closed()
        return answer, said

    answer, said = asyncio.run(main())
    assert answer.failure == failure
    assert (b".\r\n" in said) is (failure is None)


def test_mail_configuration_that_cannot_work(tmp_path: Path) -> None:
    path = tmp_path / "email.json"
    good = {"from": "a@b.example", "unsubscribe_url": "https://b.example/u", "unsubscribe_secret": "s"}
    for change, url, text in (
        ({"unsubscribe_url": "http://b.example/u"}, "smtps://m.example", "https"),
        ({"from": "a@b.example\nBcc: x@y.example"}, "smtps://m.example", "no address"),
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


# ---- webhook


def test_webhook_signatures_are_those_of_the_specification() -> None:
    adapter = webhook.WebhookAdapter(b"topsecret", lambda: 1_700_000_000.9)
    request = adapter.build_request(MESSAGE._replace(address="https://shop.example/in"))
    name, stamp, signature = (value.decode() for _, value in request.extra)
    assert (name, stamp) == (MESSAGE.dispatch_id, "1700000000")
    assert webhook.verify(b"topsecret", name, stamp, request.body, f"v1a,other {signature}", 1_700_000_100)
    assert not webhook.verify(b"topsecret", name, stamp, request.body, signature, 1_700_000_400)
    assert not webhook.verify(b"topsecret", name, stamp, request.body + b" ", signature, 1_700_000_000)
    assert not webhook.verify(b"topsecrat", name, stamp, request.body, signature, 1_700_000_000)
    assert not webhook.verify(b"topsecret", name, "-5", request.body, signature, 1_700_000_000)
    # openssl: printf '%s' 'msg_1.1700000000.{"a":1}' | openssl dgst -sha256 -hmac topsecret -binary | base64
    assert (
        webhook.sign(b"topsecret", "msg_1", "1700000000", b'{"a":1}')
        == "v1,6wW4SqbhVQWEKgMRB9De27CnObbDoduoe7FCeyn5/bo="
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Answer(204), "accepted"), (Answer(302), "rejected"), (Answer(410), "gone"), (Answer(429), "retry"),
    (Answer(500), "retry"),
     (Answer(401), "rejected"), (Answer(403, failure="address_refused"), "rejected")],
)  # fmt: skip
def test_webhook_answers(answer: Answer, kind: str) -> None:
    assert webhook.WebhookAdapter(b"s").classify(answer).kind == kind


@pytest.mark.parametrize(
    "answer",
    [
        Answer(410, b'{"reason":"Unregistered","timestamp":99999999999999999999}'),
        Answer(410, b'{"reason":"Unregistered","timestamp":1000000000000000}'),
        Answer(410, b'{"reason":"Unregistered","timestamp":-5}'),
        Answer(410, b'{"reason":"Unregistered\\ud83d","timestamp":true}'),
        Answer(400, b'{"reason":"' + b"x" * 9000 + b'"}'),
        Answer(200, b"", ((b"apns-id", b"\xff" * 9000),)),
    ],
)
def test_a_verdict_holds_what_a_ledger_can_store(answer: Answer) -> None:
    verdict = apns.ApnsAdapter("topic").classify(answer)
    assert verdict.gone_us is None or 0 <= verdict.gone_us < 4_102_444_800_000_000
    for text, most in ((verdict.reason, 64), (verdict.provider_id, 256)):
        assert text is None or (len(text.encode()) <= 4 * most and len(text) <= most)

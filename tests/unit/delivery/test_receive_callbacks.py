"""Each provider's callback is believed by its own signature, and becomes events."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlencode

import pyarrow as pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from angelia.contracts import arrow, dataset
from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.receive.callbacks import readers_of
from angelia.receive.callbacks.base import form_signature
from angelia.receive.callbacks.ses import SesCallbacks
from angelia.receive.folding import fold
from angelia.receive.journal import Event, Journal
from angelia.receive.machines import reason_of_open
from angelia.receive.receiver import CallbackReceiver
from angelia.receive.stop_words import WORDS, says_stop
from tests.unit.delivery.callers import CALLBACKS, KEY, NOW, Post, receipts

A, B = "a" * 32, "b" * 32
AT = NOW - timedelta(hours=1)
MS = int(AT.timestamp() * 1000)
FORM = {"content-type": "application/x-www-form-urlencoded"}


def kept(lake: Lake) -> list[tuple[str, str, str | None]]:
    """Return (dispatch, kind, reason) of all events in the journal."""
    groups = sorted(Journal(lake.store).pending())
    return sorted((event.dispatch_id, event.kind, event.reason) for _, events in groups for event in events)  # type: ignore[type-var]


def twilio(post: Post, query: str = "", **fields: str) -> tuple[int, dict[str, Any]]:
    url = CALLBACKS["sms"]["url"] + (f"?{query}" if query else "")
    signature = form_signature("token", url, fields.items())
    headers = FORM | {"x-twilio-signature": signature}
    return post(f"/callbacks/sms?{query}", urlencode(fields).encode(), headers)


def test_twilio_tells_what_became_of_a_text(lake: Lake, post: Post) -> None:
    query = f"dispatch_id={A}"
    assert twilio(post, query, MessageSid="SM1", MessageStatus="delivered", ErrorCode="")[1]["taken"] == 1
    assert twilio(post, query, MessageSid="SM2", MessageStatus="undelivered", ErrorCode="30005")[0] == 200
    assert twilio(post, query, MessageSid="SM3", MessageStatus="failed", ErrorCode="30007")[0] == 200
    assert twilio(post, query, MessageSid="SM4", MessageStatus="sent")[1]["ignored"] == 1
    assert twilio(post, "", MessageSid="SM5", MessageStatus="delivered")[1]["refused"] == [
        "[0]: no dispatch id"
    ]
    assert kept(lake) == [(A, "bounced", "filtered"), (A, "bounced", "hard"), (A, "delivered", None)]


def test_twilio_is_not_believed_for_another_address_or_body(lake: Lake, post: Post) -> None:
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    signature = form_signature("token", CALLBACKS["sms"]["url"] + f"?dispatch_id={A}", fields.items())
    headers = FORM | {"x-twilio-signature": signature}
    path, body = f"/callbacks/sms?dispatch_id={A}", urlencode(fields).encode()
    assert post(f"/callbacks/sms?dispatch_id={B}", body, headers)[0] == 401
    assert post(path, body + b"&Body=x", headers)[0] == 401
    assert post(path, body)[0] == 401
    assert kept(lake) == []
    assert post(path, body, headers)[0] == 200


def endpoints(lake: Lake, *rows: tuple[str, str, str, int]) -> None:
    """Write `user_endpoints`: user, channel, address, days since it was registered."""
    names = ("user_id", "channel", "address")
    table = pa.Table.from_pylist(
        [
            dict(zip(names, row, strict=False))
            | {"registered_ts": NOW - timedelta(days=row[3]), "is_active": True}
            for row in rows
        ],
        schema=arrow.schema(dataset("user_endpoints")),
    )
    with lake.attempt("user_endpoints", ds="2026-11-14") as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish()


def test_a_text_that_says_stop_closes_its_owners_channel(lake: Lake, post: Post) -> None:
    old, new = ("u1", "sms", "+49 151 000", 9), ("u2", "sms", "+49151000", 2)
    assert twilio(post, MessageSid="SM1", From="+49151000", Body="Stopp!")[1]["taken"] == 1
    assert twilio(post, MessageSid="SM2", From="+49151000", Body="please do not stop")[1]["ignored"] == 1
    assert fold(lake, NOW)["unknown"] == 1  # nobody has this number yet, so it waits
    endpoints(lake, old, new, ("u3", "email", "+49151000", 1))
    assert fold(lake, NOW)["suppressions"] == 1
    assert fold(lake, NOW) == {}
    (entry,) = lake.read_log("suppressions").to_pylist()
    assert (entry["user_id"], entry["channel"], entry["reason"]) == ("u2", "sms", "unsubscribed")
    assert entry["address_hash"] is None
    assert not any(b"49151000" in lake.store.read(key) for key in lake.store.list("received"))


@pytest.mark.parametrize(
    ("text", "languages", "is_stop"),
    [
        ("STOP", (), True), (" Stop. ", None, True), ("退订", None, True), ("ＴＤ", ("zh",), True),
        ("ARRÊT", ("fr",), True), ("arret", ("fr",), True), ("baja", ("de",), False), ("стоп!", None, True),
        ("stop it", None, False), ("", None, False), ("don't stop", None, False), ("बंद करें", None, True),
    ],
)  # fmt: skip
def test_stop_words(text: str, languages: tuple[str, ...] | None, is_stop: bool) -> None:
    assert says_stop(text, languages) is is_stop


def test_every_stop_word_is_its_language_s() -> None:
    assert all(says_stop(word, (language,)) for language, words in WORDS.items() for word in words)


def huawei(post: Post, *statuses: dict[str, Any], key: str = KEY, at: datetime = NOW) -> tuple[int, Any]:
    stamp = str(int(at.timestamp() * 1000))
    digest = hmac.new(key.encode(), f"{stamp}n-1angelia".encode(), hashlib.sha256).digest()
    header = f"timestamp={stamp}; nonce=n-1; value={base64.b64encode(digest).decode()}"
    body = json.dumps({"statuses": statuses}).encode()
    return post("/callbacks/huawei", body, {"x-huawei-callback-id": header})


def test_huawei_tells_of_deliveries_in_both_versions(lake: Lake, post: Post) -> None:
    first = {"biTag": A, "appid": "1", "token": "t", "status": 0, "timestamp": MS, "requestId": "r1"}
    second = {"biTag": B, "requestId": "r2", "deliveryStatus": {"result": 2, "timestamp": MS}}
    foreign = {"biTag": "campaign-7", "requestId": "r3", "status": 0, "timestamp": MS}
    assert huawei(post, first, key="x")[0] == 401
    assert huawei(post, first, at=NOW - timedelta(minutes=6))[0] == 401
    status, answer = huawei(post, first, second, foreign, {"biTag": A})
    assert (status, answer["taken"]) == (200, 2)
    assert answer["refused"] == ["[2]: no dispatch id", "[3]: not as documented"]
    assert kept(lake) == [(A, "delivered", None), (B, "bounced", "hard")]
    assert huawei(post, first, second, foreign, {"biTag": A})[1]["repeated"] is True


def test_vendors_without_signatures_need_the_key(lake: Lake, post: Post) -> None:
    data = {
        "m1": {"param": A, "type": 1, "targets": "r1", "timestamp": MS},
        "m2": {"param": B, "type": 16, "targets": "r2", "timestamp": MS},
        "m3": {"param": B, "type": 4, "targets": "r2", "timestamp": MS},
        "extra": {"ack": "1"},
    }
    body = urlencode({"data": json.dumps(data)}).encode()
    assert post("/callbacks/xiaomi?key=wrong", body, FORM)[0] == 401
    assert post(f"/callbacks/xiaomi?key={KEY}", body, FORM)[1] == {
        "taken": 2,
        "repeated": False,
        "ignored": 1,
    }
    arrived = {"messageId": "o1", "registrationIds": "x", "eventTime": str(MS), "param": A}
    items = [
        arrived | {"eventType": "push_arrive"},
        arrived | {"eventType": "regid_invalid", "param": "mine"},
    ]
    assert post(f"/callbacks/oppo?key={KEY}", json.dumps(items).encode())[1]["taken"] == 1
    assert kept(lake) == [(A, "delivered", None), (A, "delivered", None), (B, "bounced", "hard")]
    assert post(f"/callbacks/oppo?key={KEY}", b'{"no": "list"}')[0] == 400


def mandrill(post: Post, *events: dict[str, Any], key: str = "hook") -> tuple[int, dict[str, Any]]:
    fields = {"mandrill_events": json.dumps(events)}
    signature = form_signature(key, CALLBACKS["mail_two"]["url"], fields.items())
    return post("/callbacks/mail_two", urlencode(fields).encode(), FORM | {"x-mandrill-signature": signature})


def test_mandrill_tells_of_mails(lake: Lake, post: Post) -> None:
    def event(kind: str, dispatch: str = A, **more: Any) -> dict[str, Any]:
        mail = {
            "metadata": {"dispatch_id": dispatch},
            "email": "ann@mail.example",
            "diag": more.pop("diag", ""),
        }
        return {"event": kind, "_id": "m1", "ts": MS // 1000, "msg": mail, **more}

    events = [
        event("open", user_agent="Mozilla/5.0"), event("open", B, user_agent="Mozilla/5.0 (iPhone; ...)"),
        event("hard_bounce", diag="smtp;550 5.1.1 <ann@mail.example> unknown"), event("spam", B),
        event("click", user_agent="Barracuda Sentinel"),
        event("click", "cd" * 16, user_agent="Mozilla/5.0 (X11)"),
        event("send"), {"event": "open"},
    ]  # fmt: skip
    assert mandrill(post, *events, key="other")[0] == 401
    status, answer = mandrill(post, *events)
    assert (status, answer["taken"], answer["ignored"], len(answer["refused"])) == (200, 6, 1, 1)
    assert kept(lake) == [
        (A, "bounced", "5.1.1"), (A, "opened", "machine"), (A, "opened", "machine"),
        (B, "complaint", None), (B, "opened", None), ("cd" * 16, "opened", "click"),
    ]  # fmt: skip
    assert not any(b"ann@" in lake.store.read(key) for key in lake.store.list("received"))
    assert post("/callbacks/mail_two", b"", method="HEAD")[0] == 200


@pytest.fixture(scope="module")
def amazon() -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, made, made + timedelta(days=3650))
    return key, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def note(key: rsa.RSAPrivateKey, message: object, version: str = "2", **changes: str) -> bytes:
    document = {
        "Type": "Notification", "MessageId": "n1", "TopicArn": "arn:aws:sns:eu-west-1:1:mail",
        "Timestamp": "2026-11-15T05:00:00Z", "Message": json.dumps(message),
    } | changes  # fmt: skip
    asks = document["Type"] != "Notification"
    names = ("Message", "MessageId", "Subject", *(("SubscribeURL",) if asks else ()), "Timestamp")
    names = (*names, *(("Token",) if asks else ()), "TopicArn", "Type")
    text = "".join(f"{name}\n{document[name]}\n" for name in names if name in document)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()
    more = {
        "SignatureVersion": version,
        "Signature": signature,
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/cert.pem",
    }
    return json.dumps(document | more).encode()


def ses(kind: str, dispatch: str | None = A, **details: Any) -> dict[str, Any]:
    tags = {"dispatch_id": [dispatch]} if dispatch else {}
    mail = {"timestamp": AT.isoformat(), "tags": tags, "destination": ["ann@mail.example"]}
    return {"eventType": kind, "mail": mail, kind.lower(): {"timestamp": AT.isoformat(), **details}}


def test_ses_is_believed_by_amazons_certificate(
    lake: Lake, post: Post, receiver: CallbackReceiver, amazon: tuple[rsa.RSAPrivateKey, bytes]
) -> None:
    key, certificate = amazon
    fetched: list[str] = []
    reader = receiver.trust.readers["email"]
    assert isinstance(reader, SesCallbacks)
    reader._fetch = lambda url: fetched.append(url) or certificate  # type: ignore[func-returns-value]
    topic = {"x-amz-sns-topic-arn": "arn:aws:sns:eu-west-1:1:mail"}
    gone = ses("Bounce", bounceType="Permanent", bouncedRecipients=[{"status": "5.1.1"}])
    bodies = [
        note(key, gone), note(key, ses("Open", B, userAgent="Mozilla/5.0"), "1", MessageId="n2"),
        note(key, ses("Complaint", B, complaintFeedbackType="abuse"), MessageId="n3"),
        note(key, ses("Complaint", complaintFeedbackType="not-spam"), MessageId="n4"),
        note(key, ses("Delivery", None), MessageId="n5"),
        note(key, ses("Click", B, userAgent="ProofPoint"), MessageId="n6"),
        note(key, ses("Click", userAgent="Mozilla/5.0 (X11; Linux)"), MessageId="n7"),
    ]  # fmt: skip
    assert [post("/callbacks/email", body, topic)[0] for body in bodies] == [200] * 7
    assert kept(lake) == [
        (A, "bounced", "5.1.1"), (A, "opened", "click"), (B, "complaint", None),
        (B, "opened", "machine"), (B, "opened", "machine"),
    ]  # fmt: skip
    assert len(fetched) == 1
    forged = bodies[0].replace(b"5.1.1", b"5.1.2")
    other = note(key, gone, TopicArn="arn:aws:sns:eu-west-1:2:theirs")
    elsewhere = bodies[0].replace(b"sns.eu-west-1.amazonaws.com", b"sns.amazonaws.com.example")
    assert [post("/callbacks/email", body, topic)[0] for body in (forged, other, elsewhere)] == [401] * 3
    asks = {
        "Type": "SubscriptionConfirmation",
        "Token": "t",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?c",
    }
    assert post("/callbacks/email", note(key, "hello", **asks), topic)[0] == 200
    assert fetched[1:] == [asks["SubscribeURL"]]


@pytest.mark.parametrize("hours", [0, 1, 30])
def test_what_bears_its_arrivals_time_counts_once(hours: int, lake: Lake, dispatches: list[str]) -> None:
    """A provider repeats a callback that tells no time, after this server was started again."""
    journal = Journal(lake.store)
    for later in (0, hours):
        at = NOW + timedelta(hours=later)
        arrival = Event(
            "SM1:read", dispatches[0], "opened", int(at.timestamp() * 1e6), None, "sms", is_arrival=True
        )
        journal.keep([arrival], at)
        fold(lake, at)
    assert len(receipts(lake)) == 1


def test_one_foreign_dispatch_does_not_keep_its_group(lake: Lake, dispatches: list[str]) -> None:
    journal, at_us = Journal(lake.store), int(AT.timestamp() * 1e6)
    journal.keep(
        [Event(str(n), dispatch, "opened", at_us) for n, dispatch in enumerate([*dispatches, A])], NOW
    )
    assert fold(lake, NOW)["receipts"] == 5
    ((_, left),) = journal.pending()
    assert [event.dispatch_id for event in left] == [A]
    assert fold(lake, NOW) == {"receipts": 0, "suppressions": 0, "waiting": 0, "unknown": 1}


@pytest.mark.parametrize(
    ("account", "lacks"),
    [
        ({"provider": "pigeon"}, "no callbacks"), ({"provider": "twilio", "url": "https://x"}, "auth_token"),
        ({"provider": "xiaomi", "key": "short"}, "too short"), ({"provider": "ses_v2"}, "topics"),
    ],
)  # fmt: skip
def test_an_account_that_lacks_something_is_named(account: dict[str, str], lacks: str) -> None:
    with pytest.raises(InvalidInput, match=lacks):
        readers_of({"sms": account}, lambda channel, address: "")


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ("Mozilla/5.0", "machine"), ("Mozilla/5.0 (Windows NT 10.0) GoogleImageProxy", None), (None, None),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", None), ("Barracuda Sentinel", "machine"),
    ],
)  # fmt: skip
def test_machine_opens_are_told_apart(agent: str | None, reason: str | None) -> None:
    assert reason_of_open(agent) == reason


def test_vendors_are_asked_for_receipts_of_each_dispatch(tmp_path: Path) -> None:
    url, path = f"https://back.example/callbacks/xiaomi?key={KEY}", tmp_path / "account.json"
    accounts = {
        "xiaomi": {"app_secret": "s", "package_name": "p"},
        "oppo": {"app_key": "k", "master_secret": "m"},
    }
    for name, account in accounts.items():
        for callback in ({}, {"callback": url}):
            path.write_text(json.dumps(account | callback))
            provider = open_provider(ChannelConfig(name, name, 60.0, credentials=path))
            message = Message("r1", A, "t", "b", None, None, 60, False)
            body = unquote_plus(provider.adapter.build_request(message).body.decode())
            assert (url in body) is bool(callback)
            marks = (f"callback.param={A}", f'"call_back_parameter":"{A}"')
            assert any(mark in body for mark in marks) is bool(callback)

"""SES events are believed by Amazon's certificate and the topic's name."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from angelia.lake import Lake
from angelia.receive.callbacks.ses import SesCallbacks
from angelia.receive.receiver import CallbackReceiver
from tests.unit.receive.callbacks.given import AT, A, B, kept
from tests.unit.receive.callers import Post


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

"""Web Push: only push services of the list are called, by one signature an origin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from angelia.delivery.channels import webpush
from angelia.delivery.channels.base import ChannelConfig
from angelia.errors import InvalidInput
from angelia.transport.push_encryption import decrypt, encode, point_of
from tests.golden.wire import MESSAGES, NOW, assert_golden
from tests.unit.delivery.channels.given import meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

BROWSER, SECRET = ec.derive_private_key(7, ec.SECP256R1()), bytes(range(16))
KEYS = {"p256dh": encode(point_of(BROWSER.public_key())), "auth": encode(SECRET)}
SUBSCRIPTION = json.dumps({"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/a", "keys": KEYS})
VAPID = ec.derive_private_key(11, ec.SECP256R1())
ADAPTER = webpush.WebPushAdapter(VAPID, "mailto:push@shop.example", now=lambda: NOW)


def opened_body(body: bytes) -> dict[str, Any]:
    """Show what was sealed, and what the browser reads."""
    return {"sealed": encode(body), "opened": json.loads(decrypt(body, BROWSER, SECRET))}


def claims_of(name: str, value: str) -> str:
    """Show a VAPID header without the token's signature, which differs each time."""
    if name != "authorization":
        return value
    token, _, key = value.removeprefix("vapid t=").partition(", k=")
    return f"vapid t={token.rpartition('.')[0]}, k={key}"


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("webpush", name, ADAPTER, SUBSCRIPTION, opened_body, claims_of)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (201, None, "accepted", None),
        (410, None, "gone", "HTTP_410"),
        (403, None, "halt", "HTTP_403"),
        (307, None, "rejected", "redirect"),
        (429, None, "retry", "HTTP_429"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com.evil.example/a",
        "https://evilfcm.googleapis.com.example/",
        "https://evilfcm.googleapis.com/a",
        "https://evilpush.apple.com/a",
        "https://127.0.0.1/a",
        "http://fcm.googleapis.com/a",
        "https://u@fcm.googleapis.com/a",
        "https://notfcm.example/fcm.googleapis.com",
    ],
)
def test_only_push_services_of_the_list_are_called(endpoint: str) -> None:
    address = json.dumps({"endpoint": endpoint, "keys": KEYS})
    assert refusal(ADAPTER, address=address)[0] in ("address_refused", "bad_address")


@pytest.mark.parametrize("address", ["", "{}", "[]", "7", '{"endpoint":1,"keys":{}}', "https://a.example"])
def test_what_is_no_subscription_is_a_bad_address(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"
    assert webpush.host_of(address) == ""


def test_one_signature_serves_an_origin_for_six_hours() -> None:
    now = [NOW]
    adapter = webpush.WebPushAdapter(VAPID, "mailto:push@shop.example", now=lambda: now[0])
    other = SUBSCRIPTION.replace("updates.push.services.mozilla.com", "web.push.apple.com")

    def header(address: str) -> bytes:
        return dict(adapter.build_request(MESSAGE._replace(address=address)).extra)[b"authorization"]

    first = header(SUBSCRIPTION)
    assert header(other) != first, "a token is for one push service"
    now[0] += 6 * 3600 - 1
    assert header(SUBSCRIPTION) == first
    now[0] += 1
    assert header(SUBSCRIPTION) != first


def test_a_topic_is_short_and_plain_or_none() -> None:
    topics = [
        dict(ADAPTER.build_request(MESSAGE._replace(address=SUBSCRIPTION, collapse_key=key)).extra).get(
            b"topic"
        )
        for key in ("order", "k" * 33, "a b", None)
    ]
    assert topics == [b"order", None, None, None]


def test_receivers_are_told_apart_by_host_and_port() -> None:
    upper = SUBSCRIPTION.replace("mozilla.com", "MOZILLA.com.")
    assert webpush.host_of(SUBSCRIPTION) == webpush.host_of(upper) == "updates.push.services.mozilla.com:443"


def test_a_key_of_another_kind_and_a_base_address_are_refused(tmp_path: Path) -> None:
    pem = VAPID.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    wrong = ec.derive_private_key(11, ec.SECP384R1())
    of_wrong = wrong.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    provider = opened(tmp_path, "webpush", {"private_key": pem, "subject": "mailto:a@b.example"})
    assert not provider.may_rehearse, "real browsers are at the other end"
    for key in ("no key", of_wrong):
        with pytest.raises(InvalidInput, match="VAPID private key is unusable"):
            opened(tmp_path, "webpush", {"private_key": key, "subject": "mailto:a@b.example"})
    config = ChannelConfig("second", "webpush", 60.0, "https://a.example", tmp_path / "account.json")
    with pytest.raises(InvalidInput, match="no base address") as caught:
        webpush.open_provider(config)
    assert "ANGELIA_SECOND_URL" in caught.value.one_line()

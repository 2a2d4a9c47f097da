"""APNs' stand-in: the provider token first, then each header as APNs checks it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels.apns import ApnsAdapter, ProviderToken
from angelia.sandbox.apns import ApnsSandbox
from angelia.sandbox.keys import APNS_TOPIC, make_apns_account
from angelia.sandbox.phones import Phones
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import rules

DEVICE = "0123456789abcdef" * 4


class Side:
    """The stand-in, and our adapter with its account."""

    def __init__(self, folder: Path, *fates: dict[str, Any]) -> None:
        self.phones = Phones()
        self.sandbox = ApnsSandbox(make_apns_account(folder), self.phones, rules(*fates))
        self.account = json.loads((folder / "apns.json").read_text())
        self.request = ApnsAdapter(APNS_TOPIC).build_request(MESSAGE._replace(address=DEVICE))

    def bearer(self, at: float = 0.0, **changes: str) -> bytes:
        token = ProviderToken({**self.account, **changes}, lambda: time.time() + at)
        asyncio.run(token.refresh(None))
        return token.current() or b""

    def send(self, bearer: bytes, path: bytes = b"", **headers: bytes | None) -> tuple[int, str]:
        given = {**dict(self.request.headers), **dict(self.request.extra)}
        changed = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        pairs = tuple((name, value) for name, value in {**given, **changed}.items() if value is not None)
        reply = self.sandbox.answer(b"POST", path or self.request.path, bearer, pairs, self.request.body)
        return reply.status, json.loads(reply.body)["reason"] if reply.body else ""


def test_a_message_with_a_young_token_arrives(tmp_path: Path) -> None:
    side = Side(tmp_path)
    assert side.send(side.bearer()) == (200, "")
    assert list(side.phones.recent) == [(MESSAGE.dispatch_id, DEVICE, MESSAGE.title, MESSAGE.body)]


def test_tokens_that_are_none_old_or_of_others_are_refused(tmp_path: Path) -> None:
    side = Side(tmp_path)
    reasons = [side.send(bearer)[1] for bearer in (b"", b"Bearer x.y.z", side.bearer(-3700.0))]
    reasons += [side.send(side.bearer(**{name: "OTHER"}))[1] for name in ("team_id", "key_id")]
    assert reasons == [
        "MissingProviderToken", "InvalidProviderToken", "ExpiredProviderToken",
        "InvalidProviderToken", "InvalidProviderToken",
    ]  # fmt: skip
    assert side.phones.received == {}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"apns_topic": None}, "MissingTopic"),
        ({"apns_topic": b"other"}, "DeviceTokenNotForTopic"),
        ({"apns_id": b"x"}, "BadMessageId"),
        ({"apns_push_type": b"loud"}, "InvalidPushType"),
        ({"apns_priority": b"7"}, "BadPriority"),
        ({"apns_expiration": b"-1"}, "BadExpirationDate"),
        ({"apns_collapse_id": b"x" * 65}, "BadCollapseId"),
    ],
)
def test_each_header_is_checked(headers: dict[str, bytes | None], reason: str, tmp_path: Path) -> None:
    side = Side(tmp_path)
    assert side.send(side.bearer(), **headers) == (400, reason)
    assert side.phones.received == {}


def test_a_path_that_is_no_device_and_a_scripted_end(tmp_path: Path) -> None:
    side = Side(tmp_path, {"status": 410, "error": "Unregistered", "gone_s": 60})
    bearer = side.bearer()
    assert side.send(bearer, b"/3/device/../x")[1] == "BadDeviceToken"
    assert [side.send(bearer) for _ in range(2)] == [(410, "Unregistered"), (200, "")]

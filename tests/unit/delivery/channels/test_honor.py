"""Honor push: what decides is `sendResult` and the lists of tokens in an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import honor
from angelia.delivery.channels.tokens import IssuedToken
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, NOW, assert_golden
from tests.unit.delivery.channels.given import document, fields, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = honor.HonorAdapter("104500000", now=lambda: NOW)
ACCOUNT = {"app_id": "104500000", "client_id": "c", "client_secret": "s"}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("honor", name, ADAPTER, "token-1")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"code": 200, "data": {"sendResult": True, "requestId": "1"}}, "accepted", None),
        (200, {"code": 200, "data": {"sendResult": False}}, "rejected", "200"),
        (401, None, "auth", "HTTP_401"),
        (200, {"data": {}}, "ambiguous", "answer_without_code"),
        (200, {"code": 200, "data": {"sendResult": False, "expireTokens": ["t"]}}, "gone", "expireTokens"),
        (200, {"code": 200, "data": {"sendResult": True, "failTokens": ["t"]}}, "rejected", "failTokens"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, "1s"), (60, "60s"), (9_999_999, "1296000s")])
def test_a_message_is_kept_within_honors_bounds(ttl_s: int, kept: str) -> None:
    assert document(ADAPTER.build_request(MESSAGE._replace(ttl_s=ttl_s)))["android"]["ttl"] == kept


@pytest.mark.parametrize(
    ("link", "action"),
    [
        ("https://shop.example", {"type": 2, "url": "https://shop.example"}),
        ("http://shop.example", {"type": 3}),
        ("app://orders", {"type": 3}),
    ],
)
def test_a_page_of_the_web_must_be_https(link: str, action: dict[str, Any]) -> None:
    android = document(ADAPTER.build_request(MESSAGE._replace(link=link)))["android"]
    assert android["notification"]["clickAction"] == action
    assert json.loads(android["data"])["link"] == link, "the app opens it by itself"


def test_the_limit_does_not_count_the_token() -> None:
    ADAPTER.build_request(MESSAGE._replace(address="t" * 5000))
    assert refusal(ADAPTER, body="x" * 4097)[::2] == ("payload_too_large", 4096)


def test_an_importance_is_one_that_honor_knows(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="channel second has an unknown importance"):
        opened(tmp_path, "honor", ACCOUNT | {"importance": "HIGH"})
    sent = opened(tmp_path, "honor", ACCOUNT | {"importance": "NORMAL"}).adapter.build_request(MESSAGE)
    assert document(sent)["android"]["notification"]["importance"] == "NORMAL"


def test_an_unknown_app_is_a_refusal(tmp_path: Path) -> None:
    token = opened(tmp_path, "honor", ACCOUNT).credentials
    assert isinstance(token, IssuedToken)
    assert fields(token.ask(0.0)[1])["client_secret"] == "s"
    assert token.read({"access_token": "t", "expires_in": 60}) == ("t", 60, None)
    assert token.read({"error": "invalid_client"}).refusal == "invalid_client"

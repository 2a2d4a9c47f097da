"""QQ bots: one openid a message, and codes that come with a success of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import qq_bot
from angelia.delivery.channels.tokens import IssuedToken
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = qq_bot.QqBotAdapter()
ACCOUNT = {"app_id": "a", "client_secret": "s"}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("qq_bot", name, ADAPTER, "6836D8522EE75AD3732E75C0D3B6F33A")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"id": "m", "timestamp": 1}, "accepted", None),
        (202, {"code": 304023}, "accepted", "304023"),
        (400, {"code": 304023}, "rejected", "304023"),
        (401, {"code": 11243}, "auth", "11243"),
        (500, {"code": 999}, "retry", "999"),
        (200, {}, "ambiguous", "answer_without_code"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["../me", "a/messages", "abc", "", "a" * 65])
def test_an_address_never_becomes_another_path(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_the_limit_counts_title_body_and_link() -> None:
    room = qq_bot.TEXT_LIMIT_CHARS - len("t\n")
    ADAPTER.build_request(MESSAGE._replace(address="abcd", title="t", body="好" * room))
    refused = refusal(ADAPTER, address="abcd", title="t", body="好" * (room + 1))
    assert refused == ("payload_too_large", 2001, 2000)


def test_too_many_questions_for_a_token_are_no_refusal(tmp_path: Path) -> None:
    token = opened(tmp_path, "qq_bot", ACCOUNT).credentials
    assert isinstance(token, IssuedToken)
    assert document(token.ask(0.0)[1]) == {"appId": "a", "clientSecret": "s"}
    assert token.read({"code": 100001}).refusal is None
    assert token.read({"code": 100016}).refusal == 100016
    assert token.read({"access_token": "t", "expires_in": "7200"}) == ("t", "7200", None)

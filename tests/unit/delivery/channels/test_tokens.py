"""Tokens that endpoints give out: when they end, what is no token, who is refused."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from angelia.delivery.channels.base import MessageRejected
from angelia.delivery.channels.tokens import (
    AppToken,
    FixedToken,
    Issued,
    IssuedToken,
    errcode_token,
    json_object,
    plain_text,
    require_id,
)
from angelia.errors import AngeliaError, InvalidInput
from angelia.transport.pooled_http import PooledHttp
from angelia.transport.wire import Answer, Request
from tests.unit.delivery.given import MESSAGE


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """Return the list whose first answer every token endpoint gives."""
    given = [Answer(200, b'{"errcode":0,"access_token":"t1","expires_in":7200}')]

    async def exchange(*_: object) -> Answer:
        return given[0]

    monkeypatch.setattr(PooledHttp, "exchange", exchange)
    return given


def test_an_app_token_is_refreshed_before_it_ends(answers: list[Answer]) -> None:
    now = [1000.0]
    token = AppToken("https://a.example", "/gettoken", {"corpid": "c", "corpsecret": "s"}, now=lambda: now[0])
    assert token.ask(0.0)[1].path == b"/gettoken?corpid=c&corpsecret=s"
    assert token.current() is None
    asyncio.run(token.refresh(None))
    assert token.current() == b"t1"
    now[0] += 6899
    assert token.current() == b"t1"
    now[0] += 1
    assert token.current() is None, "five minutes before its end"
    answers[0] = Answer(200, b'{"errcode":40001,"errmsg":"invalid credential"}')
    with pytest.raises(InvalidInput, match="refused the app"):
        asyncio.run(token.refresh(None))


@pytest.mark.parametrize(
    ("life", "kept_s"),
    [
        ("7200", 6900.0),
        (400, 200.0),
        (None, 3300.0),
        (0, 3300.0),
        (-5, 3300.0),
        ("soon", 3300.0),
        ("inf", 3300.0),
    ],
)
def test_a_life_that_is_none_counts_as_an_hour(life: object, kept_s: float, answers: list[Answer]) -> None:
    now = [1000.0]
    request = Request(b"/", (), b"")
    token = IssuedToken(
        "https://a.example",
        lambda _: ("POST", request),
        lambda _: Issued("t", life),
        prefix="QQBot ",
        now=lambda: now[0],
    )
    asyncio.run(token.refresh(None))
    now[0] += kept_s - 1
    assert token.current() == b"QQBot t"
    now[0] += 1
    assert token.current() is None


@pytest.mark.parametrize("text", ["a b", "a\r\nb", "é", "", "x" * 4097, None, 7])
def test_a_token_that_could_end_a_header_is_none(text: object, answers: list[Answer]) -> None:
    answers[0] = Answer(200, json.dumps({"access_token": text}).encode())
    token = AppToken("https://a.example", "/gettoken", {})
    with pytest.raises(AngeliaError, match="gives no token"):
        asyncio.run(token.refresh(None))
    assert token.current() is None


def test_a_busy_endpoint_refuses_nobody() -> None:
    assert errcode_token({"errcode": -1}) == (None, None, None)
    assert errcode_token({"errcode": 40013}).refusal == 40013
    assert not errcode_token({"errcode": 0, "access_token": "t", "expires_in": 7200}).refusal


def test_an_account_that_never_changes_is_not_refreshed() -> None:
    token = FixedToken("key=s", "Xiaomi")
    assert token.current() == b"key=s"
    with pytest.raises(AngeliaError, match="Xiaomi refuses the account"):
        asyncio.run(token.refresh(b"key=s"))


@pytest.mark.parametrize(
    ("body", "document"),
    [(b'{"a":1}', {"a": 1}), (b"[1]", {}), (b"null", {}), (b"{", {}), (b"", {}), (b"\xff", {})],
)
def test_an_answer_that_is_no_object_is_empty(body: bytes, document: dict[str, object]) -> None:
    assert json_object(Answer(200, body)) == document


def test_one_text_holds_what_there_is() -> None:
    assert plain_text(MESSAGE._replace(title="t", body="b", link="l")) == "t\nb\nl"
    assert plain_text(MESSAGE._replace(title="", body="b", link=None)) == "b"


def test_an_id_has_the_whole_form_and_not_its_beginning() -> None:
    pattern = re.compile("[a-z]{2}")
    assert require_id(pattern, "ab") == "ab"
    for address in ("abc", "ab\n", " ab", ""):
        with pytest.raises(MessageRejected, match="bad_address"):
            require_id(pattern, address)

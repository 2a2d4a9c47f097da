"""OPPO push: what its codes mean, and a token asked for with a signed time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import oppo
from angelia.delivery.channels.tokens import IssuedToken
from tests.golden.wire import MESSAGES, assert_golden, form
from tests.unit.delivery.channels.given import fields, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = oppo.OppoAdapter({"channel_id": "news"})
ACCOUNT = {"app_key": "key", "master_secret": "secret"}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("oppo", name, ADAPTER, "CN_078ad8b8a137cadb14ae5b70cf846312", form)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"code": 0, "data": {"messageId": "m"}}, "accepted", None),
        (200, {"code": 11}, "auth", "11"),
        (200, {"code": 33}, "spent", "33"),
        (200, {"code": 999}, "rejected", "999"),
        (503, None, "retry", "HTTP_503"),
        (200, None, "ambiguous", "answer_without_code"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["a,b", "a;b", "a b", ""])
def test_an_address_is_one_device(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_title_and_body_are_counted_in_characters() -> None:
    ADAPTER.build_request(MESSAGE._replace(title="好" * 50, body="好" * 50))
    assert refusal(ADAPTER, title="好" * 51) == ("payload_too_large", 51, 50)
    assert refusal(ADAPTER, body="好" * 51) == ("payload_too_large", 51, 50)


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, 1), (60, 60), (9_999_999, 864_000)])
def test_a_message_is_kept_within_oppos_bounds(ttl_s: int, kept: int) -> None:
    sent = json.loads(fields(ADAPTER.build_request(MESSAGE._replace(ttl_s=ttl_s)))["message"])
    assert sent["notification"]["off_line_ttl"] == kept


def test_a_token_is_asked_for_with_a_signed_time(tmp_path: Path) -> None:
    token = opened(tmp_path, "oppo", ACCOUNT).credentials
    assert isinstance(token, IssuedToken)
    method, request = token.ask(1_700_000_000.5)
    asked = fields(request)
    assert (method, request.path, asked["timestamp"]) == ("POST", oppo.TOKEN_PATH, "1700000000500")
    assert asked["sign"] == hashlib.sha256(b"key1700000000500secret").hexdigest()


@pytest.mark.parametrize(
    ("code", "is_refused"), [(0, False), (-1, False), (-2, False), (16, True), (999, True)]
)
def test_a_busy_token_endpoint_refuses_nobody(code: int, is_refused: bool, tmp_path: Path) -> None:
    token = opened(tmp_path, "oppo", ACCOUNT).credentials
    assert isinstance(token, IssuedToken)
    assert bool(token.read({"code": code, "data": None}).refusal) == is_refused
    assert token.read({"code": 0, "data": {"auth_token": "t"}}) == ("t", 86_400, None)

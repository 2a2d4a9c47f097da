"""vivo push: widths in which a Chinese character counts two, and what its results mean."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import vivo
from angelia.delivery.channels.tokens import IssuedToken
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = vivo.VivoAdapter(10_004, "NEWS")
ACCOUNT = {"app_id": " 10004 ", "app_key": "key", "app_secret": "secret"}


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("vivo", name, ADAPTER, "12345678901234567890123")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"result": 0, "taskId": "1"}, "accepted", None),
        (200, {"result": 10302, "invalidUser": {"status": 4}}, "rejected", "invalidUser.4"),
        (200, {"result": 10302, "invalidUser": {"status": 9}}, "gone", "10302"),
        (200, {"result": 10070}, "spent", "10070"),
        (500, None, "retry", "HTTP_500"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["a b c d", "abc", "a,b,c", "", "a" * 65])
def test_an_address_is_one_reg_id(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_a_chinese_character_takes_two_columns() -> None:
    ADAPTER.build_request(MESSAGE._replace(address="abcd", title="好" * 20, body="é" * 100))
    refused = refusal(ADAPTER, address="abcd", title="好" * 20 + "x")
    assert refused == ("payload_too_large", 41, 40)
    assert refusal(ADAPTER, address="abcd", body="好" * 51) == ("payload_too_large", 102, 100)


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, 60), (61, 61), (9_999_999, 604_800)])
def test_a_message_is_kept_within_vivos_bounds(ttl_s: int, kept: int) -> None:
    sent = document(ADAPTER.build_request(MESSAGE._replace(address="abcd", ttl_s=ttl_s)))
    assert sent["timeToLive"] == kept


def test_without_a_granted_category_it_is_marketing() -> None:
    message = MESSAGE._replace(address="abcd")
    assert document(ADAPTER.build_request(message))["classification"] == 1
    marketing = document(vivo.VivoAdapter(10_004).build_request(message))
    assert (marketing["classification"], "category" in marketing) == (0, False)


def test_an_app_has_a_number_and_signs_the_time(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="app_id of channel second is not a number"):
        opened(tmp_path, "vivo", ACCOUNT | {"app_id": "ten"})
    token = opened(tmp_path, "vivo", ACCOUNT).credentials
    assert isinstance(token, IssuedToken)
    asked = document(token.ask(1_700_000_000.5)[1])
    wanted = hashlib.md5(b"10004key1700000000500secret", usedforsecurity=False).hexdigest()
    assert (asked["appId"], asked["sign"]) == (10_004, wanted)
    assert token.read({"result": 10072}).refusal is None, "too many questions pass"
    assert token.read({"result": 10205}).refusal == 10205

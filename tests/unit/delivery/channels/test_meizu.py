"""Meizu push: each request is signed, and a refused pushId stands in an answer of success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.delivery.channels import meizu
from tests.golden.wire import MESSAGES, assert_golden, form
from tests.unit.delivery.channels.given import fields, meaning, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = meizu.MeizuAdapter("10000", "secret")


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("meizu", name, ADAPTER, "RA50c6348036344485d01776773577c64740465480a6b", form)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"code": "200", "msgId": "m", "value": {}}, "accepted", None),
        (200, {"code": "200", "value": {"110010": ["p"]}}, "gone", "value.110010"),
        (200, {"code": "110010", "value": ""}, "throttled", "110010"),
        (200, {"code": "1006"}, "halt", "1006"),
        (200, {"code": "200", "value": {"777": ["p"]}}, "rejected", "value.777"),
        (503, {"code": "200", "value": {}}, "retry", "200"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


def test_the_signature_is_of_the_sorted_fields_and_the_secret() -> None:
    # printf '%s' 'appId=10000pushIds=asecret' | md5sum
    assert meizu.signature({"pushIds": "a", "appId": "10000"}, "secret") == "db7423c16d6ca234a278634481f2a6dd"


@pytest.mark.parametrize("address", ["a,b", "", " "])
def test_an_address_is_one_push_id(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_title_and_body_are_counted_in_characters() -> None:
    ADAPTER.build_request(MESSAGE._replace(title="好" * 32, body="好" * 100))
    assert refusal(ADAPTER, title="好" * 33) == ("payload_too_large", 33, 32)
    assert refusal(ADAPTER, body="好" * 101) == ("payload_too_large", 101, 100)


@pytest.mark.parametrize(("ttl_s", "hours"), [(0, 1), (3600, 1), (3601, 2), (9_999_999, 72)])
def test_a_lifetime_is_whole_hours_and_never_shorter(ttl_s: int, hours: int) -> None:
    sent = json.loads(fields(ADAPTER.build_request(MESSAGE._replace(ttl_s=ttl_s)))["messageJson"])
    assert sent["pushTimeInfo"]["validTime"] == hours


def test_messages_of_one_key_replace_each_other() -> None:
    shown = [
        json.loads(fields(ADAPTER.build_request(MESSAGE._replace(collapse_key=key)))["messageJson"])
        for key in ("order", "order", "price")
    ]
    first, second, third = (sent["advanceInfo"]["notifyKey"] for sent in shown)
    assert first == second != third
    assert len(first) == len(third) == 8

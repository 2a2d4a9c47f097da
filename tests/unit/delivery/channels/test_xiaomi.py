"""Xiaomi push: lengths in characters, and a refused id in an answer of success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angelia.delivery.channels import xiaomi
from tests.golden.wire import MESSAGES, assert_golden, form
from tests.unit.delivery.channels.given import fields, meaning, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = xiaomi.XiaomiAdapter("example.shop", "120001")


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("xiaomi", name, ADAPTER, "regid-1", form)


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"code": 0, "data": {"id": "a"}}, "accepted", None),
        (200, {"code": 0, "data": {"id": "a", "bad_regids": "r"}}, "gone", "bad_regids"),
        (200, {"code": 20301, "data": {"bad_regids": "r"}}, "gone", "bad_regids"),
        (200, {"code": 10034}, "spent", "10034"),
        (200, {"code": 0}, "ambiguous", "no_id"),
        (502, None, "retry", "HTTP_502"),
        (429, None, "throttled", "HTTP_429"),
        (200, {"code": 10017}, "rejected", "10017"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["a,b", "", " "])
def test_an_address_is_one_registration_id(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_title_and_body_are_counted_in_characters() -> None:
    ADAPTER.build_request(MESSAGE._replace(title="好" * 49, body="好" * 127))
    assert refusal(ADAPTER, title="好" * 50) == ("payload_too_large", 50, 49)
    assert refusal(ADAPTER, body="好" * 128) == ("payload_too_large", 128, 127)


@pytest.mark.parametrize(("ttl_s", "kept"), [(0, "1000"), (60, "60000"), (9_999_999, "864000000")])
def test_a_lifetime_is_milliseconds_within_bounds(ttl_s: int, kept: str) -> None:
    assert fields(ADAPTER.build_request(MESSAGE._replace(ttl_s=ttl_s)))["time_to_live"] == kept


def test_a_page_of_the_web_opens_and_another_link_travels() -> None:
    web = fields(ADAPTER.build_request(MESSAGE._replace(link="https://a.example")))
    assert (web["extra.notify_effect"], web["extra.web_uri"]) == ("3", "https://a.example")
    own = fields(ADAPTER.build_request(MESSAGE._replace(link="app://orders")))
    assert "extra.web_uri" not in own
    assert json.loads(own["payload"])["link"] == "app://orders"

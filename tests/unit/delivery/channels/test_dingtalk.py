"""DingTalk: work notifications of one application, and what its codes mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.delivery.channels import dingtalk
from angelia.errors import InvalidInput
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning, opened, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = dingtalk.DingtalkAdapter(153_858_650)


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("dingtalk", name, ADAPTER, "manager4220")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"errcode": 0, "task_id": 7}, "accepted", None),
        (200, {"errcode": 88, "sub_code": "40014"}, "auth", "40014"),
        (200, {"errcode": 88, "sub_code": "60011"}, "halt", "60011"),
        (200, {"errcode": 143103}, "throttled", "143103"),
        (200, {"errcode": 999}, "rejected", "999"),
        (200, None, "ambiguous", "answer_without_code"),
        (429, None, "throttled", "HTTP_429"),
        (200, {"errcode": 88, "sub_code": "1"}, "halt", "1"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["a,b", "", "a b", "u" * 65])
def test_an_address_is_one_employee(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_the_limit_counts_the_bytes_of_msg() -> None:
    empty = document(ADAPTER.build_request(MESSAGE._replace(address="u", title="", body="x")))["msg"]
    room = dingtalk.TEXT_LIMIT - len(json.dumps(empty, separators=(",", ":"))) + 1
    ADAPTER.build_request(MESSAGE._replace(address="u", title="", body="x" * room))
    assert refusal(ADAPTER, address="u", title="", body="x" * (room + 1)) == ("payload_too_large", 2049, 2048)


def test_an_agent_has_a_number(tmp_path: Path) -> None:
    account = {"app_key": "k", "app_secret": "s", "agent_id": "12x"}
    with pytest.raises(InvalidInput, match="agent_id of channel second is not a number"):
        opened(tmp_path, "dingtalk", account)
    provider = opened(tmp_path, "dingtalk", account | {"agent_id": "12"})
    assert document(provider.adapter.build_request(MESSAGE._replace(address="u")))["agent_id"] == 12

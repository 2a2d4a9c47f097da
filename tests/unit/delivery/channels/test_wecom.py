"""WeCom: messages of one application to one member, as a text or as a card."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.channels import wecom
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning, refusal
from tests.unit.delivery.given import MESSAGE

ADAPTER = wecom.WecomAdapter(1_000_002)


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("wecom", name, ADAPTER, "ann")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"errcode": 0, "msgid": "m"}, "accepted", None),
        (200, {"errcode": 0, "invaliduser": "ann"}, "rejected", "invaliduser"),
        (200, {"errcode": 42001}, "auth", "42001"),
        (200, {"errcode": 60020}, "halt", "60020"),
        (200, {}, "ambiguous", "answer_without_code"),
        (503, None, "retry", "HTTP_503"),
        (200, {"errcode": 81013}, "rejected", "81013"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["ann|bob", "a" * 65, "", "ann bob", "@all|x"])
def test_an_address_is_one_member(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


def test_a_link_makes_it_a_card() -> None:
    plain = document(ADAPTER.build_request(MESSAGE._replace(address="ann", title="t", body="b")))
    assert (plain["msgtype"], plain["text"]) == ("text", {"content": "t\nb"})
    card = document(
        ADAPTER.build_request(MESSAGE._replace(address="ann", title="t", body="b", link="https://a"))
    )
    assert (card["msgtype"], card["textcard"]["url"], "text" in card) == ("textcard", "https://a", False)
    assert card["enable_duplicate_check"] == 1


def test_a_text_that_would_be_cut_is_refused() -> None:
    ADAPTER.build_request(MESSAGE._replace(address="ann", title="", body="é" * 1024))
    refused = refusal(ADAPTER, address="ann", title="", body="é" * 1024 + "x")
    assert refused == ("payload_too_large", 2049, 2048)

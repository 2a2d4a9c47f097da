"""Subscribe messages of a mini-program: a refusal is the person's word, not the address."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.channels import wechat_subscribe
from angelia.delivery.channels.wechat import MessageTemplate
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning, refusal
from tests.unit.delivery.given import MESSAGE

TEMPLATE = MessageTemplate("bDmywsp2oEHjwAadTGK", "thing1", "keyword2", {"phrase3": "news"})
ADAPTER = wechat_subscribe.subscribe_adapter(TEMPLATE, {"page": "pages/index"})


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("wechat_subscribe", name, ADAPTER, "oSyZp5OBNPBRhG-7BVgWxbiNZmd0")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"errcode": 0, "errmsg": "ok"}, "accepted", None),
        (200, {"errcode": 43101}, "opted_out", "43101"),
        (200, {"errcode": 45009}, "spent", "45009"),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize("address", ["o/1", "abc", "", "o,1234"])
def test_an_address_is_one_openid(address: str) -> None:
    assert refusal(ADAPTER, address=address)[0] == "bad_address"


@pytest.mark.parametrize(
    ("link", "page"),
    [(None, "pages/index"), ("pages/order?id=1", "pages/order?id=1"), ("https://a.example", "pages/index")],
)
def test_a_link_leads_to_the_mini_programs_own_pages_only(link: str | None, page: str) -> None:
    sent = document(ADAPTER.build_request(MESSAGE._replace(address="abcd", title="a", link=link)))
    assert (sent["page"], sent["miniprogram_state"], sent["lang"]) == (page, "formal", "zh_CN")


def test_state_and_language_are_the_accounts() -> None:
    adapter = wechat_subscribe.subscribe_adapter(TEMPLATE, {"state": "trial", "lang": "en_US"})
    sent = document(adapter.build_request(MESSAGE._replace(address="abcd", title="a")))
    assert (sent["miniprogram_state"], sent["lang"], "page" in sent) == ("trial", "en_US", False)

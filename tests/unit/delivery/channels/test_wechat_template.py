"""Template messages of a service account: where a tap leads, and who no longer follows."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.delivery.channels import wechat_template
from angelia.delivery.channels.wechat import MessageTemplate
from tests.golden.wire import MESSAGES, assert_golden
from tests.unit.delivery.channels.given import document, meaning
from tests.unit.delivery.given import MESSAGE

TEMPLATE = MessageTemplate("bDmywsp2oEHjwAadTGK", "thing1", "keyword2", {"phrase3": "news"})
ADAPTER = wechat_template.template_adapter(TEMPLATE, {})


@pytest.mark.parametrize("name", MESSAGES)
def test_requests_equal_their_golden_files(name: str) -> None:
    assert_golden("wechat_template", name, ADAPTER, "oSyZp5OBNPBRhG-7BVgWxbiNZmd0")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "reason"),
    [
        (200, {"errcode": 43004}, "opted_out", "43004"),
        (200, {"errcode": 40001}, "auth", "40001"),
        (200, {"errcode": 0, "msgid": 7}, "accepted", None),
    ],
)
def test_each_answer_has_its_meaning(status: int, answer: Any, kind: str, reason: str | None) -> None:
    assert meaning(ADAPTER, status, answer) == (kind, reason)


@pytest.mark.parametrize(
    ("account", "link", "leads"),
    [
        ({}, "https://a.example", {"url": "https://a.example"}),
        ({}, "pages/order", {}),
        ({}, None, {}),
        (
            {"mini_program": "wx1"},
            "pages/order",
            {"miniprogram": {"appid": "wx1", "pagepath": "pages/order"}},
        ),
        ({"mini_program": "wx1"}, "https://a.example", {"url": "https://a.example"}),
    ],
)
def test_a_tap_leads_to_the_web_or_to_a_page(
    account: dict[str, Any], link: str | None, leads: dict[str, Any]
) -> None:
    adapter = wechat_template.template_adapter(TEMPLATE, account)
    sent = document(adapter.build_request(MESSAGE._replace(address="abcd", title="a", link=link)))
    assert {name: sent[name] for name in ("url", "miniprogram") if name in sent} == leads

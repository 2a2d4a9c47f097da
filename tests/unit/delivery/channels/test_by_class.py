"""The class of a message reaches the field that its provider has for it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from angelia.contracts.outcomes import MARKETING, SERVICE, TRANSACTIONAL
from angelia.delivery.channels.base import Adapter, ChannelConfig
from angelia.delivery.channels.by_class import CLASSES, for_class, read_setting
from angelia.delivery.channels.honor import HonorAdapter
from angelia.delivery.channels.huawei import HuaweiAdapter
from angelia.delivery.channels.oppo import OppoAdapter
from angelia.delivery.channels.vivo import VivoAdapter
from angelia.delivery.channels.xiaomi import XiaomiAdapter
from angelia.errors import InvalidInput
from tests.unit.delivery.given import MESSAGE

WORDS = {"marketing": "m", "service": "s", "transactional": "t"}


def xiaomi(setting: Any, body: bytes) -> Any:
    return parse_qs(body.decode()).get("extra.channel_id", [None])[0]


def oppo(setting: Any, body: bytes) -> Any:
    message = json.loads(parse_qs(body.decode())["message"][0])
    return message["notification"].get("channel_id")


@pytest.mark.parametrize(
    ("make", "word_of", "unsaid"),
    [
        (lambda words: XiaomiAdapter("app", words), xiaomi, None),
        (lambda words: OppoAdapter({"channel_id": words}), oppo, None),
        (
            lambda words: HuaweiAdapter("project", words),
            lambda _, body: json.loads(body)["payload"]["notification"]["category"],
            "MARKETING",
        ),
        (lambda words: VivoAdapter(7, words), lambda _, body: json.loads(body).get("category"), None),
        (
            lambda words: HonorAdapter("app", words),
            lambda _, body: json.loads(body)["android"]["notification"]["importance"],
            "LOW",
        ),
    ],
)
def test_each_class_has_its_word_on_the_wire(make: Any, word_of: Any, unsaid: str | None) -> None:
    def sent(words: Any) -> list[Any]:
        adapter: Adapter = make(words)
        messages = [MESSAGE._replace(address="abcd", wire_class=kind) for kind in CLASSES]
        return [word_of(words, adapter.build_request(message).body) for message in messages]

    assert sent(WORDS) == ["m", "s", "t"]
    assert sent({"service": "s"}) == [unsaid, "s", "s"], "transactional goes by service"
    assert sent("x") == ["x"] * 3
    assert sent(None) == [unsaid] * 3


def test_vivo_calls_a_message_without_category_marketing() -> None:
    adapter = VivoAdapter(7, {"service": "ORDER"})
    messages = [
        MESSAGE._replace(address="abcd", wire_class=kind) for kind in (MARKETING, SERVICE, TRANSACTIONAL)
    ]
    bodies = [json.loads(adapter.build_request(message).body) for message in messages]
    assert [body["classification"] for body in bodies] == [0, 1, 1]


def test_a_setting_is_a_word_or_a_word_a_class() -> None:
    config = ChannelConfig("vivo", "vivo", 1)
    for value, expected in (("x", "x"), ("", None), (None, None)):
        assert read_setting(config, {"category": value}, "category") == expected
    assert read_setting(config, {"category": WORDS}, "category") == WORDS
    assert for_class("", MARKETING) is None
    for wrong in ({"promo": "x"}, {"service": ""}, {"service": 7}):
        with pytest.raises(InvalidInput, match="unknown class of messages"):
            read_setting(config, {"category": wrong}, "category")

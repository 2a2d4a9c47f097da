"""WeChat's and QQ's stand-ins: tokens for the app alone, messages without an id of ours."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from angelia.sandbox.providers.social import QqBotSandbox, WechatSandbox, name_of
from tests.unit.delivery.given import MESSAGE
from tests.unit.sandbox.given import Stand, verdict

ADDRESSED = MESSAGE._replace(address="abcd", title="t", body="b")


def test_an_id_that_is_not_there_stands_for_recipient_and_text() -> None:
    assert name_of("a", "b") == name_of("a", "b")
    assert len({name_of("a", "b"), name_of("ab", ""), name_of("a", "c")}) == 3


@pytest.mark.parametrize("name", ["wechat_subscribe", "wechat_template"])
def test_a_template_message_arrives_with_the_token(name: str, tmp_path: Path) -> None:
    stand = Stand(WechatSandbox, tmp_path, {"error": "43101"})
    provider = stand.provider(name)
    request = provider.adapter.build_request(ADDRESSED)
    path = request.path + b"?access_token=" + str(stand.token(provider, time.time())).encode()
    assert [verdict(provider, stand.post(request, path=path)).kind for _ in range(2)] == [
        "opted_out",
        "accepted",
    ]
    assert stand.phones.received == {name_of("abcd", "t\0b"): 1}
    assert verdict(provider, stand.post(request, path=request.path + b"?access_token=x")).kind == "auth"


@pytest.mark.parametrize(
    ("old", "new"), [(b'"formal"', b'"final"'), (b"sandbox-template", b"other"), (b"keyword2", b"thing2")]
)
def test_a_template_message_of_another_form_is_refused(old: bytes, new: bytes, tmp_path: Path) -> None:
    stand = Stand(WechatSandbox, tmp_path)
    provider = stand.provider("wechat_subscribe")
    request = provider.adapter.build_request(ADDRESSED)
    path = request.path + b"?access_token=" + str(stand.token(provider, time.time())).encode()
    assert old in request.body
    reply = stand.post(request._replace(body=request.body.replace(old, new)), path=path)
    assert verdict(provider, reply).reason == "47003"
    assert stand.phones.received == {}


def test_a_bots_message_arrives_with_the_token(tmp_path: Path) -> None:
    stand = Stand(QqBotSandbox, tmp_path)
    provider = stand.provider("qq_bot")
    request = provider.adapter.build_request(ADDRESSED)
    token = str(stand.token(provider, time.time())).encode()
    assert verdict(provider, stand.post(request, b"QQBot " + token)).kind == "accepted"
    assert verdict(provider, stand.post(request, b"Bearer " + token)).kind == "auth"
    empty = request._replace(body=request.body.replace(b'"msg_type":0', b'"msg_type":7'))
    assert verdict(provider, stand.post(empty, b"QQBot " + token)).reason == "12002"
    assert stand.phones.received == {name_of("abcd", "t\nb"): 1}


@pytest.mark.parametrize(
    ("kind", "name", "changes"),
    [
        (WechatSandbox, "wechat_template", {"app_secret": "guess"}),
        (WechatSandbox, "wechat_template", {"app_id": "guess"}),
        (QqBotSandbox, "qq_bot", {"client_secret": "guess"}),
    ],
)
def test_another_app_gets_no_token(kind: Any, name: str, changes: dict[str, str], tmp_path: Path) -> None:
    stand = Stand(kind, tmp_path)
    assert stand.token(stand.provider(name, None, **changes), time.time()) is None

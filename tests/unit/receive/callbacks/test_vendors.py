"""Xiaomi, OPPO and Meizu sign nothing, so the key in their address is what is checked."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote_plus, urlencode

import pytest

from angelia.contracts.ids import listed_id
from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.errors import InvalidInput
from angelia.lake import Lake
from tests.unit.receive.callbacks.given import FORM, MS, A, B, kept
from tests.unit.receive.callers import KEY, Post


def test_vendors_without_signatures_need_the_key(lake: Lake, post: Post) -> None:
    data = {
        "m1": {"param": A, "type": 1, "targets": "r1", "timestamp": MS},
        "m2": {"param": B, "type": 16, "targets": "r2", "timestamp": MS},
        "m3": {"param": B, "type": 4, "targets": "r2", "timestamp": MS},
        "extra": {"ack": "1"},
    }
    body = urlencode({"data": json.dumps(data)}).encode()
    assert post("/callbacks/xiaomi?key=wrong", body, FORM)[0] == 401
    assert post(f"/callbacks/xiaomi?key={KEY}", body, FORM)[1] == {
        "taken": 2,
        "repeated": False,
        "ignored": 1,
    }
    arrived = {"messageId": "o1", "registrationIds": "x", "eventTime": str(MS), "param": A}
    items = [
        arrived | {"eventType": "push_arrive"},
        arrived | {"eventType": "regid_invalid", "param": "mine"},
    ]
    assert post(f"/callbacks/oppo?key={KEY}", json.dumps(items).encode())[1]["taken"] == 1
    assert kept(lake) == [(A, "delivered", None), (A, "delivered", None), (B, "bounced", "hard")]
    assert post(f"/callbacks/oppo?key={KEY}", b'{"no": "list"}')[0] == 400


def test_xiaomis_item_of_a_list_is_each_devices(lake: Lake, post: Post) -> None:
    shared, tokens = "l-" + "5" * 32, [f"r{n}" for n in range(1_200)]
    data = {
        "m1": {"param": shared, "type": 1, "targets": ", ".join(tokens), "timestamp": MS},
        "m2": {"param": shared, "type": 2, "targets": "", "timestamp": MS},
        "m3": "no object",
    }
    body = urlencode({"data": json.dumps(data)}).encode()
    answer = post(f"/callbacks/xiaomi?key={KEY}", body, FORM)[1]
    assert (answer["taken"], len(answer["refused"])) == (1_200, 2)
    assert answer["refused"] == ["[1200]: no token for a list's message", "[1201]: not as documented"]
    assert kept(lake) == sorted((listed_id(shared, token), "delivered", None) for token in tokens)
    assert b"r1199" not in b"".join(lake.store.read(key) for key in lake.store.list("received")), (
        "no token is kept"
    )


def test_meizu_tells_what_was_delivered_and_opened(lake: Lake, post: Post) -> None:
    told_of = {
        "m1-1": {"param": A, "type": 1, "targets": ["p1"]},
        "m1-2": {"param": A, "type": 2, "targets": ["p1"]},
        "m2-1": {"param": "mine", "type": 1, "targets": ["p2"]},
        "m3-4": {"param": B, "type": 4, "targets": ["p2"]},
    }
    body = urlencode({"cb": json.dumps(told_of), "access_token": "x"}).encode()
    assert post("/callbacks/meizu?key=wrong", body, FORM)[0] == 401
    for _ in range(2):
        answer = post(f"/callbacks/meizu?key={KEY}", body, FORM)[1]
        assert (answer["taken"], answer["ignored"], answer["refused"]) == (2, 1, ["[2]: no dispatch id"])
    assert answer["repeated"], "what comes again counts once"
    assert kept(lake) == [(A, "delivered", None), (A, "opened", None)]
    assert post(f"/callbacks/meizu?key={KEY}", urlencode({"cb": "[]"}).encode(), FORM)[0] == 400


def test_a_callback_that_meizu_would_refuse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text(
        json.dumps({"app_id": "1", "app_secret": "s", "callback": "https://b.example/" + "x" * 111})
    )
    with pytest.raises(InvalidInput, match="longer than 128 bytes"):
        open_provider(ChannelConfig("meizu", "meizu", 60.0, credentials=path))


def test_vendors_are_asked_for_receipts_of_each_dispatch(tmp_path: Path) -> None:
    url, path = f"https://back.example/callbacks/xiaomi?key={KEY}", tmp_path / "account.json"
    accounts = {
        "xiaomi": {"app_secret": "s", "package_name": "p"},
        "oppo": {"app_key": "k", "master_secret": "m"},
        "meizu": {"app_id": "1", "app_secret": "s"},
    }
    for name, account in accounts.items():
        for callback in ({}, {"callback": url}):
            path.write_text(json.dumps(account | callback))
            provider = open_provider(ChannelConfig(name, name, 60.0, credentials=path))
            message = Message("r1", A, "t", "b", None, None, 60, False)
            body = unquote_plus(provider.adapter.build_request(message).body.decode())
            assert (url in body) is bool(callback)
            names = ("callback.param", "call_back_parameter")
            marks = (f"callback.param={A}", *(f'"{name}":"{A}"' for name in names))
            assert any(mark in body for mark in marks) is bool(callback)

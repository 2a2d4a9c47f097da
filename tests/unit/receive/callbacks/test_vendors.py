"""Xiaomi and OPPO sign nothing, so the key in their address is what is checked."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote_plus, urlencode

from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Message
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


def test_vendors_are_asked_for_receipts_of_each_dispatch(tmp_path: Path) -> None:
    url, path = f"https://back.example/callbacks/xiaomi?key={KEY}", tmp_path / "account.json"
    accounts = {
        "xiaomi": {"app_secret": "s", "package_name": "p"},
        "oppo": {"app_key": "k", "master_secret": "m"},
    }
    for name, account in accounts.items():
        for callback in ({}, {"callback": url}):
            path.write_text(json.dumps(account | callback))
            provider = open_provider(ChannelConfig(name, name, 60.0, credentials=path))
            message = Message("r1", A, "t", "b", None, None, 60, False)
            body = unquote_plus(provider.adapter.build_request(message).body.decode())
            assert (url in body) is bool(callback)
            marks = (f"callback.param={A}", f'"call_back_parameter":"{A}"')
            assert any(mark in body for mark in marks) is bool(callback)

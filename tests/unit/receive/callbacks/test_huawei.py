"""Huawei's receipts are believed while their signed time is young."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

from angelia.contracts.ids import listed_id
from angelia.lake import Lake
from tests.unit.receive.callbacks.given import MS, A, B, kept
from tests.unit.receive.callers import KEY, NOW, Post


def huawei(post: Post, *statuses: dict[str, Any], key: str = KEY, at: datetime = NOW) -> tuple[int, Any]:
    stamp = str(int(at.timestamp() * 1000))
    digest = hmac.new(key.encode(), f"{stamp}n-1angelia".encode(), hashlib.sha256).digest()
    header = f"timestamp={stamp}; nonce=n-1; value={base64.b64encode(digest).decode()}"
    body = json.dumps({"statuses": statuses}).encode()
    return post("/callbacks/huawei", body, {"x-huawei-callback-id": header})


def test_huawei_tells_of_deliveries_in_both_versions(lake: Lake, post: Post) -> None:
    first = {"biTag": A, "appid": "1", "token": "t", "status": 0, "timestamp": MS, "requestId": "r1"}
    second = {"biTag": B, "requestId": "r2", "deliveryStatus": {"result": 2, "timestamp": MS}}
    foreign = {"biTag": "campaign-7", "requestId": "r3", "status": 0, "timestamp": MS}
    assert huawei(post, first, key="x")[0] == 401
    assert huawei(post, first, at=NOW - timedelta(minutes=6))[0] == 401
    status, answer = huawei(post, first, second, foreign, {"biTag": A})
    assert (status, answer["taken"]) == (200, 2)
    assert answer["refused"] == ["[2]: no dispatch id", "[3]: not as documented"]
    assert kept(lake) == [(A, "delivered", None), (B, "bounced", "hard")]
    assert huawei(post, first, second, foreign, {"biTag": A})[1]["repeated"] is True


def test_huaweis_receipt_of_a_list_is_its_tokens(lake: Lake, post: Post) -> None:
    shared = "l-" + "5" * 32
    of = {"biTag": shared, "status": 0, "timestamp": MS, "requestId": "r1"}
    status, answer = huawei(post, of | {"token": "t1"}, of | {"token": "t2", "status": 2}, of)
    assert (status, answer["taken"], answer["refused"]) == (200, 2, ["[2]: no token for a list's message"])
    expected = [(listed_id(shared, "t1"), "delivered", None), (listed_id(shared, "t2"), "bounced", "hard")]
    assert kept(lake) == sorted(expected)

"""An inbox keeps what it acknowledges and shows a person theirs only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.receive.folding import fold
from angelia.receive.inbox.store import InboxStore
from tests.unit.receive.callers import NOW, WORKER, Post, receipts
from tests.unit.receive.inbox.given import USER, message, send, shown, token


def test_marks_become_receipts_of_the_persons_messages_only(
    bench: Any, lake: Lake, post: Post, tmp_path: Path, dispatches: list[str]
) -> None:
    for number, dispatch in enumerate(dispatches[:3]):
        assert send(post, tmp_path, message(dispatch, f"u0000000{number}", ttl_s=86_400)).status == 200
    mine, theirs = dispatches[1], dispatches[2]
    status, answer = post("/inbox/marks", json.dumps({"displayed": [mine, theirs]}).encode(), token())
    assert (status, answer["taken"], answer["refused"]) == (200, 1, ["displayed[1]: not in this inbox"])
    assert shown(post) == [(mine, "displayed")]
    assert InboxStore(lake, lambda: NOW).messages_of(USER)[0]["state"] == "displayed"  # from the journal
    for _ in range(2):  # the app repeats it
        post("/inbox/marks", json.dumps({"opened": [mine]}).encode(), token())
    assert fold(lake, NOW)["receipts"] == 2
    assert sorted((row["user_id"], row["kind"]) for row in receipts(lake)) == [
        (USER, "displayed"), (USER, "opened"),
    ]  # fmt: skip
    assert post("/inbox/marks", b'{"read": []}', token())[0] == 400
    assert post("/inbox/marks", json.dumps({"opened": ["a"] * 201}).encode(), token())[0] == 400


def test_what_a_worker_may_not_send_is_not_kept(lake: Lake, post: Post, tmp_path: Path) -> None:
    good = {
        "user_id": USER,
        "channel": "inbox",
        "dispatch_id": "1" * 32,
        "title": "t",
        "body": "b",
        "ttl_s": 9,
    }
    key = {"authorization": f"Bearer {WORKER}"}
    for changes in ({"ttl_s": True}, {"ttl_s": 0}, {"user_id": "a b"}, {"dispatch_id": "x"}, {"link": 1}):
        assert post("/inbox/messages", json.dumps(good | changes).encode(), key)[0] == 400, changes
    assert send(post, tmp_path, message("1" * 32), "other-secret").status == 401
    assert lake.partitions("inbox_messages") == []


def test_a_message_that_cannot_be_kept_is_not_acknowledged(
    lake: Lake, post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(lake), "attempt", lambda *_, **__: (_ for _ in ()).throw(AngeliaError("full")))
    assert send(post, tmp_path, message("1" * 32)).status == 503

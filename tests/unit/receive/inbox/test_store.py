"""Messages are kept in the lake, and each person is shown theirs until they expire."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.receive.inbox.store import InboxStore
from angelia.receive.receiver import CallbackReceiver
from tests.unit.receive.callers import NOW, Post
from tests.unit.receive.inbox.given import USER, message, send, shown, token


def test_a_message_is_shown_to_its_person_until_it_expires(
    lake: Lake, post: Post, receiver: CallbackReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = "1" * 32, "2" * 32, "3" * 32
    assert send(post, tmp_path, message(first)).status == 200
    assert send(post, tmp_path, message(first)).status == 200  # sent again: the answer was lost
    assert send(post, tmp_path, message(second, ttl_s=60)).status == 200
    assert send(post, tmp_path, message(third, "u00000002")).status == 200
    assert sorted(shown(post)) == [(first, "new"), (second, "new")]
    _, answer = post("/inbox", b"", token(), "GET")
    assert answer["unread"] == 2
    sale = next(row for row in answer["messages"] if row["dispatch_id"] == first)
    assert (sale["title"], sale["body"], sale["link"]) == ("Sale", "From 5 pm", "https://shop.example/x")
    assert "user_id" not in sale
    receiver.inbox._now = lambda: NOW + timedelta(seconds=60)  # type: ignore[union-attr]
    assert shown(post) == [(first, "new")]
    # Another process, which has written nothing, shows the same.
    again = InboxStore(lake, lambda: NOW)
    assert {row["dispatch_id"] for row in again.messages_of(USER)} == {first, second}
    assert {row["dispatch_id"] for row in again.messages_of("u00000002")} == {third}
    assert again.messages_of("nobody") == []


def test_of_one_collapse_key_the_newest_is_shown(
    lake: Lake, post: Post, receiver: CallbackReceiver, tmp_path: Path
) -> None:
    send(post, tmp_path, message("1" * 32, collapse_key="order"))
    receiver.now = lambda: NOW + timedelta(seconds=1)
    send(post, tmp_path, message("2" * 32, collapse_key="order"))
    assert shown(post) == [("2" * 32, "new")]


def test_an_erased_person_has_no_inbox(lake: Lake, post: Post, tmp_path: Path) -> None:
    send(post, tmp_path, message("1" * 32))
    erase(lake, [USER])
    assert shown(post) == []
    for leaf in lake.partitions("inbox_messages"):
        (row,) = lake.read(lake.require("inbox_messages", **leaf)).to_pylist()
        assert (row["user_id"] != USER, "Sale" in row["title"]) == (True, False)

"""An inbox keeps what it acknowledges and shows a person theirs only."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from angelia.delivery.channels import open_provider
from angelia.delivery.channels.base import ChannelConfig, Message
from angelia.errors import AngeliaError, InvalidInput
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from angelia.receive.folding import fold
from angelia.receive.inbox.store import InboxStore
from angelia.receive.receiver import CallbackReceiver
from angelia.receive.trust import inbox_trust
from angelia.transport.wire import Answer
from tests.unit.delivery.callers import NOW, PEOPLE, WORKER, Post, receipts

USER = "u00000001"


def token(user: str = USER, secret: str = PEOPLE, **changes: Any) -> dict[str, str]:
    claims = {"sub": user, "aud": "angelia", "exp": int((NOW + timedelta(hours=1)).timestamp())} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return {"authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"}


def send(post: Post, tmp_path: Path, message: Message, secret: str = WORKER) -> Answer:
    """Hand a message in by the adapter's request and the channel's credentials."""
    path = tmp_path / "inbox.json"
    path.write_text(json.dumps({"secret": secret}))
    config = ChannelConfig("inbox", "inbox", 60.0, base_url="https://back.example", credentials=path)
    provider = open_provider(config)
    request = provider.adapter.build_request(message)
    assert provider.credentials is not None
    headers = {"authorization": (provider.credentials.current() or b"").decode()}
    status, _ = post(request.path.decode(), request.body, headers)
    return Answer(status)


def message(dispatch: str, user: str = USER, **changes: Any) -> Message:
    return Message(user, dispatch, "Sale", "From 5 pm", "https://shop.example/x", None, 3600, False)._replace(
        **changes
    )


def shown(post: Post, **changes: Any) -> list[tuple[str, str]]:
    status, answer = post("/inbox", b"", token(**changes), "GET")
    assert status == 200
    return [(row["dispatch_id"], row["state"]) for row in answer["messages"]]


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


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "x" * 32}, {"aud": "other"}, {"exp": None}, {"sub": None}, {"exp": int(NOW.timestamp())},
        {"exp": int((NOW + timedelta(days=2)).timestamp())},
    ],
)  # fmt: skip
def test_without_a_persons_young_token_nothing_is_shown(changes: dict[str, Any], post: Post) -> None:
    user = changes.pop("sub", USER)
    given = token(user, **changes) if user else token(sub=None, **changes)
    assert post("/inbox", b"", given, "GET")[0] == 401
    assert post("/inbox/marks", b"{}", given)[0] == 401
    assert post("/inbox", b"", {}, "GET")[0] == 401
    assert post("/inbox", b"", {"authorization": f"Bearer {WORKER}"}, "GET")[0] == 401


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


def test_an_erased_person_has_no_inbox(lake: Lake, post: Post, tmp_path: Path) -> None:
    send(post, tmp_path, message("1" * 32))
    erase(lake, [USER])
    assert shown(post) == []
    for leaf in lake.partitions("inbox_messages"):
        (row,) = lake.read(lake.require("inbox_messages", **leaf)).to_pylist()
        assert (row["user_id"] != USER, "Sale" in row["title"]) == (True, False)


def test_the_inbox_needs_two_secrets_of_their_length() -> None:
    assert inbox_trust({}) is None
    assert inbox_trust({"inbox": {"secret": "a" * 32, "person_secret": "b" * 32}}) is not None
    for held in ({"secret": "a" * 32}, {"secret": "a" * 32, "person_secret": "b" * 31}):
        with pytest.raises(InvalidInput, match="inbox needs"):
            inbox_trust({"inbox": held})

"""What comes back is believed only with a signature, and durable before it is answered."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.receive.callbacks.base import Reported
from angelia.receive.folding import fold
from angelia.receive.journal import Event, Journal, parse
from angelia.receive.receiver import CallbackReceiver
from tests.unit.delivery.callers import MAIL, NOW, Post, body_of, event, signed


def test_a_request_repeated_after_a_restart_counts_once(
    lake: Lake, receiver: CallbackReceiver, post: Post, dispatches: list[str]
) -> None:
    body = body_of(event(dispatches[0]))
    for _ in range(2):
        assert post("/events", body, signed(body)) == (200, {"taken": 1, "repeated": False})
        assert post("/events", body, signed(body)) == (200, {"taken": 1, "repeated": True})
        receiver._taken.clear()  # as in a process that has just begun
    assert fold(lake, NOW)["receipts"] == 1
    assert fold(lake, NOW) == {}


def test_requests_at_once_share_one_object(lake: Lake, receiver: CallbackReceiver) -> None:
    async def ask_all() -> None:
        async with receiver.running(None):  # type: ignore[arg-type]
            reports = [Reported([Event(str(n), "0" * 32, "opened", 0)]) for n in range(50)]
            await asyncio.gather(*(receiver.take(str(n), report) for n, report in enumerate(reports)))

    asyncio.run(ask_all())
    groups = [events for _, events in Journal(lake.store).pending()]
    assert sum(map(len, groups)) == 50
    assert len(groups) < 10


def test_one_click_unsubscribes_by_post_and_token_only(lake: Lake, post: Post, dispatches: list[str]) -> None:
    link = f"/unsubscribe?d={dispatches[0]}&t={unsubscribe_token(MAIL, dispatches[0])}"
    form = b"List-Unsubscribe=One-Click"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert post(link, b"", kind)[0] == 400
    assert (
        post(f"/unsubscribe?d={dispatches[1]}&t={unsubscribe_token(MAIL, dispatches[0])}", form, kind)[0]
        == 401
    )
    assert post(f"/unsubscribe?d={dispatches[1]}", form, kind)[0] == 401
    assert fold(lake, NOW) == {}
    assert post(link, form, kind) == (200, {"taken": 1, "repeated": False})
    several = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    assert post(link, several, {"content-type": "multipart/form-data; boundary=x"}) == (
        200,
        {"taken": 1, "repeated": True},
    )
    assert fold(lake, NOW)["suppressions"] == 1
    assert [row["user_id"] for row in lake.read_log("suppressions").to_pylist()] == ["u00000000"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"secret": b"x" * 32}, 401),
        ({"at": NOW - timedelta(minutes=6)}, 401),
        ({"name": ""}, 401),
    ],
)
def test_without_a_young_signature_of_ours_nothing_is_taken(
    headers: dict[str, Any], status: int, lake: Lake, post: Post
) -> None:
    body = body_of(event("0" * 32))
    assert post("/events", body, signed(body, **headers) if headers else None)[0] == status
    assert list(lake.store.list("received")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"dispatch_id": "x"}, {"dispatch_id": "A" * 32}, {"kind": "accepted"}, {"at": "2026-11-15T05:00:00"},
        {"at": "2026-11-01T05:00:00+00:00"},
        {"at": "2026-11-16T05:00:00+00:00"}, {"id": ""}, {"id": "a\nb"}, {"id": 7}, {"more": "x"},
        {"at": None},
    ],
)  # fmt: skip
def test_a_bad_item_refuses_itself_only_and_is_not_echoed(
    changes: dict[str, Any], lake: Lake, post: Post
) -> None:
    body = body_of(event("0" * 32, "complaint", name="good"), {**event("0" * 32), "id": "CANARY", **changes})
    status, answer = post("/events", body, signed(body))
    assert (status, answer["taken"], len(answer["refused"])) == (200, 1, 1)
    assert "events[1]" in answer["refused"][0]
    assert "CANARY" not in json.dumps(answer)
    (left,) = Journal(lake.store).pending()
    assert [one.id for one in left[1]] == ["good"]
    alone = body_of({**event("0" * 32), "id": "CANARY", **changes})
    assert post("/events", alone, signed(alone, "msg-2"))[0] == 400


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("550 5.1.1 user unknown", "5.1.1"),
        ("smtp; 550-5.1.1 <" + "x" * 300 + "> no such user", "5.1.1"),
        ("x" * 65, "other"),
        ("é", "other"),
        ("mail from 10.5.1.1 refused", "other"),
    ],
)
def test_an_enhanced_code_is_found_within_a_text(reason: str, kept: str) -> None:
    (event_of_text,), refused = parse(body_of(event("0" * 32, "bounced", reason=reason)), NOW)
    assert (event_of_text.reason, refused) == (kept, [])


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"events": []}', b'{"events": {}}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_list_of_events(body: bytes, post: Post) -> None:
    assert post("/events", body, signed(body))[0] == 400
    with pytest.raises((ValueError, RecursionError)):
        parse(body, NOW)


def test_too_much_and_elsewhere(post: Post) -> None:
    many = body_of(*[event("0" * 32, name=f"e{n}") for n in range(1001)])
    assert post("/events", many, signed(many))[0] == 400
    assert post("/events", b"", {"content-length": str(1 << 21)})[0] == 413
    assert post("/elsewhere", b"")[0] == 404
    assert post("/health", b"", method="GET")[0] == 200


def test_what_cannot_be_stored_is_not_taken(lake: Lake, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(lake.store), "create", lambda *_: (_ for _ in ()).throw(AngeliaError("full")))
    body = body_of(event("0" * 32))
    assert post("/events", body, signed(body)) == (503, {"error": "not stored"})


def test_of_free_words_and_mailboxes_nothing_is_kept(lake: Lake) -> None:
    texts = [
        ("hard", "hard"),
        ("5.1.1", "5.1.1"),
        ("SMTP_550_5.1.1", "SMTP_550_5.1.1"),
        (None, None),
        ("ann@mail.example", "other"),
        ("+49170123456", "other"),
    ]
    body = body_of(
        *[
            event("0" * 32, "bounced", f"e{n}", **({"reason": reason} if reason else {}))
            for n, (reason, _) in enumerate(texts)
        ]
    )
    assert [found.reason for found in parse(body, NOW)[0]] == [kept for _, kept in texts]
    first, again, other = (
        parse(body_of(event("0" * 32, name=name)), NOW)[0][0].id
        for name in ("<1.ann@mail.example>", "<1.ann@mail.example>", "<2.ann@mail>")
    )
    assert first == again != other
    assert "ann" not in first

"""What is taken is durable before it is answered, and a repetition counts once."""

from __future__ import annotations

import asyncio

import pytest

from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.receive.callbacks.base import Reported
from angelia.receive.folding import fold
from angelia.receive.journal import Event, Journal
from angelia.receive.receiver import CallbackReceiver
from tests.unit.receive.callers import NOW, Post, body_of, event, signed


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


def test_what_cannot_be_stored_is_not_taken(lake: Lake, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(lake.store), "create", lambda *_: (_ for _ in ()).throw(AngeliaError("full")))
    body = body_of(event("0" * 32))
    assert post("/events", body, signed(body)) == (503, {"error": "not stored"})

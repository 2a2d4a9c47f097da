"""A signed-in app tells of its own person's pushes, without a backend between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from angelia.lake import Lake
from angelia.receive.folding import fold
from tests.unit.receive.callers import NOW, Post, body_of, event, receipts
from tests.unit.receive.inbox.given import USER, token


def test_a_persons_own_messages_become_receipts(lake: Lake, post: Post, dispatches: list[str]) -> None:
    mine, theirs = dispatches[1], dispatches[2]
    body = body_of(event(mine, "displayed"), event(mine, name="e2"), event(theirs, name="e3"))
    assert post("/beacons", body, token()) == (200, {"taken": 3, "repeated": False})
    assert post("/beacons", body, token()) == (200, {"taken": 3, "repeated": True})
    assert not any(USER.encode() in lake.store.read(key) for key in lake.store.list("received"))
    # Whose message it is tells of it by the same number: neither word takes the other's place.
    assert post("/beacons", body_of(event(theirs, name="e3")), token("u00000002"))[0] == 200
    counts = fold(lake, NOW)
    assert (counts["receipts"], counts["foreign"], counts["unknown"]) == (3, 1, 0)
    assert sorted((row["user_id"], row["dispatch_id"], row["kind"]) for row in receipts(lake)) == [
        (USER, mine, "displayed"), (USER, mine, "opened"), ("u00000002", theirs, "opened"),
    ]  # fmt: skip
    assert fold(lake, NOW) == {}


def test_only_what_a_phone_can_know_is_taken(lake: Lake, post: Post) -> None:
    for kind in ("bounced", "unsubscribed", "complaint", "stop"):
        status, answer = post("/beacons", body_of(event("0" * 32, kind)), token())
        assert (status, answer["error"]) == (400, "events[0].kind: one of delivered, displayed, opened")
    many = [event("0" * 32, name=f"e{number}") for number in range(201)]
    assert post("/beacons", body_of(*many), token())[0] == 400
    assert post("/beacons", b"[" * 100_000, token())[0] == 400
    assert post("/beacons", body_of(*many[:200]), token())[1]["taken"] == 200


@pytest.mark.parametrize(
    "given",
    [{}, token(secret="x" * 32), token(aud="other"), token(exp=int((NOW + timedelta(days=2)).timestamp()))],
)
def test_without_a_persons_young_token_nothing_is_taken(
    given: dict[str, Any], lake: Lake, post: Post
) -> None:
    assert post("/beacons", body_of(event("0" * 32)), given)[0] == 401
    assert list(lake.store.list("received")) == []

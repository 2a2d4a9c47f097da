"""A message as the API shows it: each step once, in the order of time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from angelia.intake.answers import item_json, view_of
from angelia.intake.message import Refusal
from angelia.intake.store import Accepted, IntakeStore
from tests.unit.intake.conftest import HOUR_US, NOW_US, Make


@pytest.fixture
def row(engine: Engine, draft: Make) -> dict[str, Any]:
    """Return a stored message that expires in an hour, by two channels."""
    (kept,) = IntakeStore(engine).accept(
        [draft(expires_at="2026-09-21T15:13:20Z", channels=["fcm", "sms"], priority="high")]
    )
    assert isinstance(kept, Accepted)
    return dict(IntakeStore(engine).get("shop", kept.id) or {}) | {"expires_us": NOW_US + HOUR_US}


def steps_of(view: dict[str, Any]) -> list[str]:
    return [step["step"] for step in view["steps"]]


def test_a_message_expires_at_its_instant_and_says_so_once(row: dict[str, Any]) -> None:
    end = int(row["expires_us"])
    assert view_of(row, [], end - 1)["status"] == "accepted"
    view = view_of(row, [], end)
    assert (view["status"], steps_of(view)) == ("expired", ["accepted", "expired"])
    noted = {"step": "expired", "at_us": end + 1, "channel": "", "reason": "expired"}
    assert steps_of(view_of(row, [noted], end)) == ["accepted", "expired"]


def test_steps_stand_in_the_order_of_their_time(row: dict[str, Any]) -> None:
    accepted = int(row["accepted_us"])
    claimed = row | {"claimed_us": accepted + 1_000, "status": "cancelled", "status_us": accepted + 9_000}
    queued = {"step": "queued", "at_us": accepted + 5_000, "channel": "fcm", "reason": ""}
    failed = {"step": "failed", "at_us": accepted + 7_000, "channel": "fcm", "reason": "gone"}
    view = view_of(claimed, [failed, queued], accepted)
    assert steps_of(view) == ["accepted", "claimed", "queued", "failed", "cancelled"]
    assert view["steps"][2] == {"step": "queued", "channel": "fcm", "at": view["steps"][2]["at"]}
    assert (view["channels"], view["priority"]) == (["fcm", "sms"], "high")


def test_a_refused_item_holds_its_refusal_only() -> None:
    refusal = Refusal("format", "user_id", "another form")
    assert json.loads(item_json(refusal)) == {
        "error": {"code": "format", "field": "user_id", "reason": "another form"}
    }
    assert json.loads(item_json(Accepted("i1", NOW_US, True)))["repeated"] is True

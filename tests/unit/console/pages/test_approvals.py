"""Approvals: what the guard said of each night, and what came of it."""

from __future__ import annotations

import pytest

from angelia.lake import numbered
from angelia.planning.verdict import TOPIC
from tests.planned_night import DS, decide


@pytest.fixture
def judged(console, catalog, lake):
    """Publish a plan that the guard holds back in part, and what was emitted of it."""
    decide(lake, [[]])
    decisions = lake.require("decisions", ds=DS)
    breach = {"campaigns": ["price_drop"], "severity": "campaign", "says": "price_drop asks for approval"}
    verdict = {"verdict": "campaigns", "held": ["price_drop"], "breaches": [breach]}
    numbered.store(lake, TOPIC, DS, {**verdict, "decisions": decisions.citation()})
    return decisions


def emit(lake, decisions, **more):
    with lake.attempt("dispatch_manifest", ds=DS) as attempt:
        return attempt.publish(inputs=[decisions], **more)


def test_a_verdict_is_shown_with_what_came_of_it(console, lake, judged):
    page = console("VIEWER").get("/approvals").text
    assert "price_drop asks for approval" in page
    assert "no manifests yet" in page
    emit(lake, judged, params={"held_back": ["price_drop"]}, meta={"answered_by": "bob", "verdict": "3f9a"})
    page = console("VIEWER").get("/approvals").text
    assert "0 messages emitted without price_drop, answered by bob" in page


def test_a_night_without_a_verdict_says_so(console, catalog, lake):
    decide(lake, [[]])
    assert "the guard has not looked at it" in console("VIEWER").get("/approvals").text


def test_a_damaged_verdict_leaves_the_page(console, lake, judged):
    lake.store.put(f"quality/main/{DS}/{TOPIC}/0002.json", b"{")
    answer = console("VIEWER").get("/approvals")
    assert answer.status_code == 200
    assert "damaged" in answer.text

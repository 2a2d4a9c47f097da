"""Approvals and Audit: what the guard said, who answered, who did what."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from angelia.catalog.stops import set_stopped
from angelia.config import load_settings
from angelia.lake import numbered
from angelia.planning.verdict import TOPIC
from tests.planned_night import DS, decide

NOW = datetime(2026, 11, 15, 9, 30, tzinfo=UTC)


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


def test_everything_by_everyone_stands_in_the_trail(console, catalog, lake, judged):
    from models.registry import Registry

    set_stopped(lake, catalog, "win_back", "stop", actor="bob", at=NOW, reason="wrong price")
    emit(lake, judged, meta={"answered_by": "cleo", "verdict": "3f9a"})
    champion = (
        '{"number": 1, "version": "2026-11-14-ab", "actor": "dan", "reason": "better", "at": "2026-11-15"}'
    )
    Registry.open(load_settings().models_url()).store.create(
        "p_open/champions/00000001.json", champion.encode()
    )
    page = console("VIEWER").get("/audit").text
    for who in ("bob", "cleo", "dan", "test"):
        assert f'data-label="who" class="free">{who}<' in page
    assert "verdict 3f9a" in page
    assert "better" in page


def test_the_trail_is_searched_by_words_person_and_kind(console, catalog, lake):
    set_stopped(lake, catalog, "win_back", "stop", actor="bob", at=NOW, reason="wrong price")
    client = console("VIEWER")

    def hits(**form):
        return client.post("/audit", data=form).text.count('data-label="did"')

    assert hits(words="PRICE wrong") == 1
    assert hits(actor="bob") == 1
    assert hits(actor="bob", words="right") == 0
    assert hits(kind="policy") == 1
    assert client.post("/audit", data={"words": "x" * 201}).status_code == 400
    assert client.get("/audit?words=price").text.count('value="price"') == 0


def test_the_newest_entries_come_first_and_are_limited(console, catalog, lake, monkeypatch):
    from angelia.console.pages import audit

    monkeypatch.setattr(audit, "SHOWN_AT_MOST", 5)
    set_stopped(lake, catalog, "win_back", "stop", actor="bob", at=NOW.replace(year=2027), reason="x")
    page = console("VIEWER").get("/audit").text
    assert page.count('data-label="did"') == 5
    assert page.index("2027-11-15") < page.index("2026-11-15")
    assert "the newest 5 are shown" in page

"""How a canary stands, in words, by the rule that its night was planned with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from angelia.delivery.canary.standing import canary_standing
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from tests.unit.delivery.canary.planned import CAMPAIGN, RULE, decide, documents_with, plan
from tests.unit.delivery.given import DS

NOW = datetime(2026, 11, 15, 9, tzinfo=UTC)


def test_it_stands_by_the_rule_of_its_night(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert canary_standing(lake, CAMPAIGN, None, NOW) is None
    monkeypatch.setattr(sample_plan, "documents", documents_with(RULE, sample_plan.documents))
    plan(lake)
    standing = canary_standing(lake, CAMPAIGN, None, NOW)
    assert standing is not None
    assert standing.line == f"canary of {DS} waits: none of its 10 messages has left yet"
    assert canary_standing(lake, "sale", None, NOW) is None
    assert canary_standing(lake, CAMPAIGN, "2026-11-13", NOW) is None
    decide(lake, "pass")
    standing = canary_standing(lake, CAMPAIGN, DS, NOW)
    assert standing is not None
    assert standing.line == f"canary of {DS} passed: passed by ann: looked at it"

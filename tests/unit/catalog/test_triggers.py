"""What may be written of campaigns that events set off or make moot."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from angelia.catalog.checking.sense import notices
from angelia.catalog.documents import Campaign, canonical, check_document, parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from spark_jobs.score_materials import candidates
from tests.unit.catalog.checking.test_sense import POLICY, SALE, SHOE

LEFT = {"event": "cart", "without": "purchase", "within_minutes": 60}
AUDIENCE = {"kind": "audience", "id": "everyone", "predicate": "reachable('fcm')"}
DAY = date(2026, 11, 15)


def campaign(**changes: Any) -> Campaign:
    document = parse_document(SALE | changes)
    assert isinstance(document, Campaign)
    return document


def says(**changes: Any) -> list[str]:
    return [str(problem) for problem in check_document(SALE | changes)[1]]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (LEFT | {"within_minutes": 0}, "trigger.within_minutes: should be greater than or equal to 1, got 0"),
        (LEFT | {"within_minutes": 10_081}, "less than or equal to 10080"),
        ({"event": "cart", "without": "purchase"}, "give without and within_minutes together"),
        ({"event": "cart", "within_minutes": 5}, "give without and within_minutes together"),
        (LEFT | {"without": "cart"}, "cart is the event itself"),
        (LEFT | {"delay_minutes": -1}, "delay_minutes: should be greater than or equal to 0"),
        (LEFT | {"unles": "x"}, "unknown field"),
        ({"event": "no such name!"}, "trigger.event"),
    ],
)
def test_what_no_trigger_can_be(trigger: dict[str, Any], expected: str) -> None:
    (problem,) = says(trigger=trigger)
    assert expected in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"guarantee": "at_least_once"}, "exempt from consent"),
        ({"approval_required": True}, "nobody is asked"),
        ({"cancel_on": "purchase"}, "without and within_minutes"),
    ],
)
def test_what_a_trigger_does_not_go_with(changes: dict[str, Any], expected: str) -> None:
    (problem,) = says(trigger=LEFT, **changes)
    assert expected in problem
    assert says(trigger=LEFT) == []


def test_a_document_without_the_new_parts_keeps_its_text() -> None:
    text = json.loads(canonical(campaign()))
    assert not {"trigger", "cancel_on"} & set(text)
    again = json.loads(canonical(campaign(trigger=LEFT)))
    assert again["trigger"]["delay_minutes"] == 0
    assert json.loads(canonical(campaign(cancel_on="purchase")))["cancel_on"] == "purchase"


def test_no_night_plans_it_and_each_night_scores_it() -> None:
    raws = [POLICY, SHOE, SALE, SALE | {"id": "left", "trigger": LEFT}]
    catalog = catalog_of([StoredDocument(parse_document(raw), 1) for raw in raws])
    assert list(catalog.running([DAY])) == ["sale"]
    assert {each.context.campaign_id for each in candidates(catalog, [DAY])} == {"sale", "left"}


def test_a_plan_s_limits_are_named_as_idle() -> None:
    triggered = campaign(trigger=LEFT, value_per_open=0, budget={"max_messages": 5})
    documents = {("campaign", "sale"): triggered}
    fields = {str(notice.problem).partition(":")[0] for notice in notices(documents, DAY)}
    assert "budget" in fields
    assert "value_per_open" not in fields

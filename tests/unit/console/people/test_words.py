"""What may stand in a condition: values that somebody has, by what they stand behind."""

from __future__ import annotations

from angelia.audience.language.fields import FIELDS
from angelia.audience.language.functions import FUNCTIONS
from angelia.audience.query import AudienceQuery
from angelia.console.engine import Engine
from angelia.console.people import words as module
from angelia.console.people.audiences import Resident
from angelia.console.people.words import words
from angelia.lake import Lake
from tests.planned_night import DS


def of(indexed, monkeypatch=None) -> dict:
    audience = AudienceQuery(Lake.open(str(indexed)), DS, audiences={"women": "gender = 'f'"})
    return words(Engine(), Resident(audience, None))


def test_every_field_and_function_is_offered_with_its_signs(indexed) -> None:
    offered = of(indexed)
    assert {field["name"] for field in offered["fields"]} == set(FIELDS)
    assert {function["name"] for function in offered["functions"]} == set(FUNCTIONS)
    assert all(field["signs"] for field in offered["fields"])


def test_values_are_those_that_somebody_has(indexed) -> None:
    values = of(indexed)["values"]
    assert set(values["gender"]) <= {"f", "m", "x"}
    assert values["gender"]
    assert values["in_audience"] == ["women"]
    assert values["in_list"] == []
    assert values["count_events"] == values["days_since"] == []
    assert "age_years" not in values


def test_no_field_offers_more_than_a_page_can_show(indexed, monkeypatch) -> None:
    monkeypatch.setattr(module, "VALUES_AT_MOST", 1)
    assert len(of(indexed)["values"]["gender"]) == 1

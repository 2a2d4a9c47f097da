"""The mapping document: short forms, one source a column, and hints at what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from angelia.importing.mapping import (
    ColumnSpec,
    Condition,
    DayOf,
    Input,
    Output,
    Timestamp,
    nearest,
    nearest_column,
    raw_text,
    template_names,
)
from tests.unit.importing.small_files import EVENTS, PROFILES


def test_a_name_alone_is_a_column_and_a_pattern() -> None:
    assert ColumnSpec.model_validate("sex") == ColumnSpec.model_validate({"from": "sex"})
    assert Input.model_validate("people*").match == "people*"
    assert ColumnSpec.model_validate({"from": "sex", "map": {1: "f", 2: "m"}}).map_ == {"1": "f", "2": "m"}
    assert (raw_text(True), raw_text(1)) == ("true", "1")


@pytest.mark.parametrize(
    ("model", "raw", "says"),
    [
        (ColumnSpec, {}, "give exactly one of from"),
        (ColumnSpec, {"from": "a", "constant": 1}, "given: from, constant"),
        (ColumnSpec, {"template": "{a!r}"}, "only plain"),
        (ColumnSpec, {"from": "a", "form": "b"}, "Extra inputs"),
        (Condition, {"column": "a", "op": "is_null", "value": 1}, "takes no value"),
        (Condition, {"column": "a", "op": "in", "value": []}, "takes a list of values"),
        (Condition, {"column": "a", "op": "eq"}, "takes one value"),
        (Condition, {"column": "a", "op": "lt", "value": "9"}, "compares numbers"),
        (Timestamp, {"unit": "s", "date_format": "%d.%m.%Y"}, "unit or date_format, not both"),
        (Timestamp, {"date_format": "DD.MM.YYYY"}, "is no date format"),
        (Timestamp, {"date_format": ["%d.%m.%Y", "%d.%m.%Y %z"]}, "either every date format carries a zone"),
        (Output, PROFILES | {"dataset": "user_day"}, "cannot be imported"),
        (Output, {"dataset": "user_events", "empty": True}, "is no snapshot"),
        (Output, EVENTS | {"partition": {"day_of": "event_ts", "minus_days": 1}}, "by the day it happened"),
        (Output, EVENTS | {"columns": EVENTS["columns"] | {"colour": "x"}}, "has no column 'colour'"),
        (
            Output,
            {**EVENTS, "columns": {"event_id": "eid"}},
            "needs a value for user_id, event_type, event_ts",
        ),
    ],
)
def test_a_wrong_part_says_what_it_may_be(model: Any, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(raw)
    assert says in str(refused.value)


def test_an_attribute_becomes_null_and_other_values_reject() -> None:
    profiles = Output.model_validate(PROFILES)
    assert profiles.invalid("gender") == "null"
    assert profiles.invalid("user_id") == "reject"
    assert profiles.invalid("signup_ts") == "reject", "a moment that cannot be read tells of a bad source"
    asked = PROFILES | {"columns": PROFILES["columns"] | {"gender": {"from": "sex", "invalid": "reject"}}}
    assert Output.model_validate(asked).invalid("gender") == "reject"


def test_rows_go_to_their_day_and_profiles_to_one() -> None:
    assert Output.model_validate(PROFILES).day_of is None
    assert Output.model_validate(EVENTS).day_of == DayOf(day_of="event_ts")


def test_hints_name_a_column_by_its_number_alone() -> None:
    assert nearest("gendr", ["gender", "age"]) == "did you mean 'gender'?"
    assert nearest("xyz", ["gender", "age"]) == "known: gender, age"
    hint = nearest_column("emial", ["file.name", "name", "email"])
    assert hint == "column 2 of 2 comes nearest, look at its name"
    assert "is there a header line, and is that its `delimiter:`?" in nearest_column("emial", ["ada@x.org"])
    assert "is there a header line?" in nearest_column("emial", ["ada@x.org", "17"])
    assert "ada" not in nearest_column("emial", ["ada@x.org"])


def test_a_templates_names_are_plain() -> None:
    assert template_names("{a}-{b.c}{{x}}") == ["a", "b.c"]
    for wrong in ("{}", "{a:>3}", "{a!s}", "{a"):
        with pytest.raises(ValueError, match=r"."):
            template_names(wrong)

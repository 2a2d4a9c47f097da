"""Parts of documents: occurrences, windows of credit, worth by lift."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from angelia.catalog.document_parts import (
    Attribution,
    Budget,
    LiftWorth,
    Occurrence,
    QuietHours,
    SendWindow,
    Trigger,
    distinct,
)


@pytest.mark.parametrize(
    ("every", "weekdays", "day", "key"),
    [
        ("once", None, "2026-11-15", "once"),
        ("daily", None, "2026-11-15", "2026-11-15"),
        ("weekly", None, "2026-11-15", "2026-W46"),
        ("weekly", None, "2026-11-16", "2026-W47"),
        ("weekly", None, "2027-01-01", "2026-W53"),  # the ISO year, not the calendar's
        ("weekly", ["sat"], "2026-11-14", "2026-W46"),
        ("weekly", ["sat"], "2026-11-15", None),
        ("daily", ["mon", "tue"], "2026-11-17", "2026-11-17"),
    ],
)
def test_occurrence_keys(every: str, weekdays: list[str] | None, day: str, key: str | None) -> None:
    occurrence = Occurrence.model_validate_json(json.dumps({"every": every, "weekdays": weekdays}))
    assert occurrence.key(date.fromisoformat(day)) == key


@pytest.mark.parametrize(
    ("model", "good", "wrong"),
    [
        (QuietHours, {"start": 22, "end": 7}, {"start": 7, "end": 7}),
        (SendWindow, {"start": 9, "end": 24}, {"start": 9, "end": 9}),
        (Budget, {"max_messages": 5, "min_messages": 5}, {"max_messages": 5, "min_messages": 6}),
        (Attribution, {"open_hours": 168}, {"open_hours": 169}),
        (LiftWorth, {"model": "m", "value": 0.01}, {"model": "m", "value": 0}),
        (
            Trigger,
            {"event": "cart", "without": "buy", "within_minutes": 10_080},
            {"event": "cart", "without": "buy"},
        ),
        (Trigger, {"event": "cart"}, {"event": "cart", "within_minutes": 5}),
        (Trigger, {"event": "cart"}, {"event": "cart", "without": "cart", "within_minutes": 5}),
    ],
)
def test_a_part_is_taken_at_its_bound_and_not_beyond(
    model: type[BaseModel], good: dict[str, Any], wrong: dict[str, Any]
) -> None:
    assert model.model_validate(good)
    with pytest.raises(ValidationError):
        model.model_validate(wrong)


def test_parts_are_strict_and_know_their_fields() -> None:
    for wrong in (
        {"start": "22", "end": 7},
        {"start": 22.0, "end": 7},
        {"start": 22, "end": 7, "zone": "UTC"},
    ):
        with pytest.raises(ValidationError):
            QuietHours.model_validate(wrong)


def test_names_are_distinct_and_a_wait_adds_up() -> None:
    assert distinct(("a", "b")) == ("a", "b")
    with pytest.raises(ValueError, match=r"\['b'\] is named twice"):
        distinct(("a", "b", "b"))
    waits = Trigger(event="cart", without="buy", within_minutes=60, delay_minutes=5)
    assert waits.waits_us == 65 * 60_000_000
    assert Trigger(event="cart").waits_us == 0

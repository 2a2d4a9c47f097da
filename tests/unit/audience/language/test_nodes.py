"""The typed tree as canonical text, days relative to the index, and its leaves."""

from __future__ import annotations

from datetime import date

import pytest

from angelia.audience.language import nodes
from angelia.audience.language.nodes import And, Compare, Const, DateValue, FieldTerm, InAudience, Not, Or

F, OLD = Compare(FieldTerm("gender"), "=", "f"), Compare(FieldTerm("age_years"), ">=", 60)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", "'it''s'"),
        (True, "TRUE"),
        (1, "1"),
        (1.0, "1.0"),
        (None, "NULL"),
        (DateValue(date(2026, 11, 14)), "DATE '2026-11-14'"),
        (DateValue(None, -3), "CURRENT_DATE - INTERVAL '3' DAY"),
        (DateValue(None, 3), "CURRENT_DATE + INTERVAL '3' DAY"),
    ],
)
def test_a_value_is_written_as_a_literal(value: nodes.Value | None, text: str) -> None:
    assert nodes.literal(value) == text


def test_brackets_stand_around_what_is_inside_another() -> None:
    assert nodes.sql(Or((And((F, OLD)), Not(Or((F, OLD)))))) == (
        "(gender = 'f' AND age_years >= 60) OR NOT (gender = 'f' OR age_years >= 60)"
    )


def test_a_day_is_counted_from_the_indexs() -> None:
    ds = date(2026, 11, 14)
    assert DateValue(None, -14).resolve(ds) == date(2026, 10, 31)
    assert DateValue(date(2024, 2, 28), 1).resolve(ds) == date(2024, 2, 29)


def test_leaves_come_in_order_and_audiences_stay_closed() -> None:
    saved = InAudience("women", F)
    assert list(nodes.leaves(And((Not(saved), Or((OLD, Const(True))))))) == [saved, OLD, Const(True)]


def test_an_audience_is_compared_by_its_name() -> None:
    """Hashing the inside takes 2^60 steps for sixty levels that name each other twice."""
    assert InAudience("women", F) == InAudience("women", OLD)
    assert hash(InAudience("women", F)) == hash(InAudience("women", OLD))


@pytest.mark.parametrize("op", nodes.FLIPPED)
def test_a_flipped_comparison_says_the_same(op: str) -> None:
    says = {
        "=": int.__eq__,
        "<>": int.__ne__,
        "<": int.__lt__,
        "<=": int.__le__,
        ">": int.__gt__,
        ">=": int.__ge__,
    }
    for a, b in ((1, 2), (2, 1), (1, 1)):
        assert says[op](a, b) == says[nodes.FLIPPED[op]](b, a)

"""Literals take the type of what they are compared with, or are refused."""

from __future__ import annotations

from datetime import date

import pytest

from angelia.audience.language.fields import FieldKind
from angelia.audience.language.literals import MAX_NUMBER, bind_value, interval_days, kind_of, position
from angelia.audience.language.nodes import (
    CountEvents,
    DateValue,
    DaysSince,
    FieldTerm,
    SumEvents,
    Term,
    Value,
)
from angelia.audience.language.sql_text import read_sql
from angelia.errors import InvalidInput

AGE, SPENT, GENDER = FieldTerm("age_years"), FieldTerm("value_28d"), FieldTerm("gender")
SIGNUP, FLAG, SINCE = FieldTerm("signup_date"), FieldTerm("is_suppressed"), DaysSince("open")


def bound(term: Term, text: str) -> Value:
    expression = read_sql(text)
    return bind_value(text, term, expression, position(expression))


@pytest.mark.parametrize(
    ("term", "text", "value"),
    [
        (AGE, "3", 3),
        (AGE, "- -3", 3),
        (AGE, "-(3)", -3),
        (AGE, "2.5", 2.5),
        (AGE, "3.0", 3),
        (AGE, f"{MAX_NUMBER}", MAX_NUMBER),
        (SPENT, "3", 3.0),
        (SPENT, "1e-400", 0.0),
        (GENDER, "'f'", "f"),
        (FLAG, "TRUE", True),
        (SINCE, "INTERVAL '2' WEEK", 14),
        (SIGNUP, "'2026-11-14'", DateValue(date(2026, 11, 14))),
        (SIGNUP, "CURRENT_DATE - INTERVAL '3' DAY + INTERVAL '1' WEEK", DateValue(None, 4)),
    ],
)
def test_a_literal_takes_its_terms_type(term: Term, text: str, value: Value) -> None:
    assert bound(term, text) == value
    assert type(bound(term, text)) is type(value)


@pytest.mark.parametrize(
    ("term", "text", "problem"),
    [
        (AGE, "NULL", "a comparison with NULL is never true"),
        (AGE, "'3'", "age_years is a number"),
        (AGE, f"{MAX_NUMBER + 1}", "out of range"),
        (AGE, "nan", "nan is not a number"),
        (AGE, "INTERVAL '2' DAY", "not a time span"),
        (SINCE, "INTERVAL '2' MONTH", "not MONTH"),
        (SINCE, "INTERVAL '1.5' DAY", "whole number of days"),
        (SINCE, "INTERVAL '100001' DAY", "out of range"),
        (GENDER, "'F'", "gender is never 'F'"),
        (FLAG, "1", "is TRUE or FALSE"),
        (SIGNUP, "'2026-02-30'", "is not a day"),
        (SIGNUP, "'1899-12-31'", "out of range"),
        (SIGNUP, "CURRENT_DATE + 3", "a day is moved by an interval"),
    ],
)
def test_another_type_or_range_is_refused(term: Term, text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bound(term, text)
    assert problem in refused.value.message


def test_sums_are_fractions_and_counts_are_whole() -> None:
    assert kind_of(SumEvents("buy", 7)) is FieldKind.REAL
    assert kind_of(CountEvents("buy", None, 7)) is FieldKind.INTEGER
    assert interval_days("3", read_sql("3"), 0) is None

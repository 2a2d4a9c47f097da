"""Conditions that nobody can match are named with their reason; possible ones are not."""

from __future__ import annotations

from datetime import date

import pytest

from angelia.audience.language.never import never_true
from angelia.audience.language.predicate import parse

DAY = date(2026, 11, 14)


def conflicts(text: str, audiences: dict[str, str] | None = None) -> list[str]:
    return [str(each) for each in never_true(parse(text, audiences, history_days=28), 28, DAY)]


# What is wrong -> the conditions that are named, and words of the reason.
NEVER = {
    "days_since('purchase') > 30": ("days_since('purchase') > 30", "the index covers 28 days"),
    "days_since('purchase') >= 28": ("days_since('purchase') >= 28", "match days_since('purchase') IS NULL"),
    "days_since('open') < 0": ("days_since('open') < 0", "0 to 27 days ago"),
    "days_since('open') IN (28, 90)": ("days_since('open') IN (28, 90)", "0 to 27 days ago"),
    "NOT days_since('open') <= 27": ("NOT days_since('open') <= 27", "the index covers 28 days"),
    "count_events('view', 7) < 0": ("count_events('view', NULL, 7) < 0", "from 0 on"),
    "count_events('view', 7) = 2.5": ("count_events('view', NULL, 7) = 2.5", "a whole number"),
    "sum_events('view', 7) IS NULL": ("sum_events('view', field='value', 7) IS NULL", "is never NULL"),
    "is_suppressed IS NULL": ("is_suppressed IS NULL", "is never NULL"),
    "age_years > 130": ("age_years > 130", "age_years is at least 0 and at most 130"),
    "push_date > CURRENT_DATE": ("push_date > CURRENT_DATE", "at most the index's day"),
    "age_years BETWEEN 30 AND 18": ("age_years >= 30 AND age_years <= 18", "exclude each other"),
    "value_28d > 5 AND value_28d <= 5": ("value_28d > 5.0 AND value_28d <= 5.0", "exclude each other"),
    "age_years > 17 AND age_years < 18": ("age_years > 17 AND age_years < 18", "exclude each other"),
    "gender = 'f' AND gender = 'm'": ("gender = 'f' AND gender = 'm'", "exclude each other"),
    "gender = 'f' AND gender IS NULL": ("gender = 'f' AND gender IS NULL", "NULL"),
    "tag = 'spa' AND NOT tag = 'spa'": ("tag = 'spa' AND NOT tag = 'spa'", "one denies the other"),
    "province LIKE 'gu%' AND province = 'fujian'": (
        "province LIKE 'gu%' AND province = 'fujian'",
        "exclude each other",
    ),
    "received('sale', 3) AND NOT received('sale', 7)": (
        "received('sale', 3) AND NOT received('sale', 7)",
        "the longer window holds the shorter one",
    ),
    "count_events('view', 'camera', 7) >= 5 AND count_events('view', 28) < 5": (
        "count_events('view', 'camera', 7) >= 5 AND count_events('view', NULL, 28) < 5",
        "counts all that",
    ),
    "count_events('open', 28) = 0 AND days_since('open') <= 27": (
        "count_events('open', NULL, 28) = 0 AND days_since('open') <= 27",
        "such an event is one of",
    ),
    "count_events('open', 7) >= 1 AND days_since('open') >= 7": (
        "count_events('open', NULL, 7) >= 1 AND days_since('open') >= 7",
        "at most 6 days ago",
    ),
    "reachable('fcm') AND (age_years = 3 OR gender = 'f') AND age_years > 60": (
        "age_years > 60 AND age_years = 3",
        "exclude each other",
    ),
    "gender = 'f' AND in_audience('old') AND age_years < 18": (
        "age_years >= 60 AND age_years < 18",
        "exclude each other",
    ),
}


@pytest.mark.parametrize("text", NEVER)
def test_a_condition_that_nobody_can_match_is_named(text: str) -> None:
    conditions, reason = NEVER[text]
    (line,) = conflicts(text, {"old": "age_years >= 60"})
    assert line.startswith(f"nobody can match {conditions}: ")
    assert reason in line


@pytest.mark.parametrize(
    "text",
    [
        "days_since('purchase') >= 27",
        "days_since('purchase') <= 90",
        "days_since('purchase') IS NULL OR days_since('purchase') > 26",
        "count_events('view', 7) >= 0",
        "age_years >= 18 AND age_years <= 18",
        "value_28d > 5 AND value_28d < 5.1",
        "age_years > 17 AND age_years < 19",
        "tag = 'spa' AND tag = 'sport' AND tag LIKE 'x%'",
        "gender = 'f' OR gender = 'm'",
        "gender <> 'f' AND gender <> 'm'",
        "province LIKE 'gu%' AND province LIKE 'guang%'",
        "received('sale', 7) AND NOT received('sale', 3)",
        "received('sale', 3) AND NOT opened('sale', 7)",
        "count_events('view', 28) >= 5 AND count_events('view', 'camera', 28) < 5",
        "count_events('open', 6) = 0 AND days_since('open') <= 6",
        "NOT in_audience('old') AND age_years < 18",
        "push_date >= CURRENT_DATE",
        "signup_date > CURRENT_DATE",
        "TRUE",
        "FALSE",
    ],
)
def test_a_condition_that_somebody_can_match_is_not(text: str) -> None:
    assert conflicts(text, {"old": "age_years >= 60"}) == []


def test_each_branch_of_an_or_is_looked_at() -> None:
    notes = conflicts("days_since('open') > 60 OR gender = 'f' OR days_since('view') > 60")
    assert [line.partition(":")[0] for line in notes] == [
        "nobody can match days_since('open') > 60",
        "nobody can match days_since('view') > 60",
    ]


def test_audiences_that_name_each_other_twice_are_opened_once() -> None:
    audiences = {"a0": "days_since('open') > 60"}
    for n in range(1, 40):
        audiences[f"a{n}"] = f"in_audience('a{n - 1}') AND (gender = 'f' OR in_audience('a{n - 1}'))"
    assert len(conflicts("in_audience('a39')", audiences)) == 1

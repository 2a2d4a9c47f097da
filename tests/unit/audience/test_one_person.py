"""Why one person is in an audience: each part, what they have, and what decided."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from angelia.audience.bitmaps.index import Index
from angelia.audience.language.plan import make_plan
from angelia.audience.language.predicate import parse
from angelia.audience.one_person import Clause, PersonBlock, explain
from angelia.lake import Lake

World = tuple[Lake, ModuleType]
PERSON: dict[str, Any] = {"age_years": 2, "gender": "f", "channels": ["fcm", "email"], "value_28d": 1.0}


def clauses(small_world: World, ordinal: int, text: str, person: dict[str, Any] = PERSON) -> list[Clause]:
    lake, w = small_world
    audiences = {"women": "gender = 'f'"}
    return explain(make_plan(parse(text, audiences)), PersonBlock(Index.open(lake, w.DS), ordinal), person)


@pytest.mark.parametrize(
    ("text", "truth", "has"),
    [
        ("age_years = 2", "held", "2"),
        ("age_years > 2", "failed", "2"),
        ("gender = 'm'", "failed", "f"),
        ("reachable('sms')", "failed", "fcm, email"),
        ("opted_out('promo')", "failed", "none"),
        ("count_events('view', 2) = 2", "held", "2"),
        ("sum_events('purchase', 'value', 4) > 2", "held", "2.50"),
        ("days_since('purchase') <= 1", "failed", "3"),
        ("days_since('fly') <= 1", "unknown", "none in 6 days"),
        ("in_list('vip')", "failed", None),
    ],
)
def test_a_part_says_whether_it_held_and_what_they_have(
    small_world: World, text: str, truth: str, has: str | None
) -> None:
    (clause,) = clauses(small_world, 2, text)
    assert (clause.truth, clause.has, clause.decides) == (truth, has, True)


def test_what_is_unknown_is_neither_held_nor_failed(small_world: World) -> None:
    for text in ("age_years = 3", "NOT age_years = 3"):
        (clause,) = clauses(small_world, 3, text, {"age_years": None})
        assert (clause.truth, clause.has) == ("unknown", "unknown")


def test_an_and_is_decided_by_what_failed_and_an_or_by_what_held(small_world: World) -> None:
    whole, first, second = clauses(small_world, 2, "gender = 'f' AND age_years > 9")
    assert (whole.truth, first.decides, second.decides) == ("failed", False, True)
    whole, first, second = clauses(small_world, 2, "gender = 'f' OR age_years > 9")
    assert (whole.truth, first.decides, second.decides) == ("held", True, False)
    assert [clause.depth for clause in (whole, first, second)] == [0, 1, 1]


def test_a_saved_audience_is_opened_below_its_name(small_world: World) -> None:
    name, inside = clauses(small_world, 2, "in_audience('women')")
    assert (name.depth, name.text, name.has) == (0, "in_audience('women')", None)
    assert (inside.depth, inside.text, inside.has, inside.decides) == (1, "gender = 'f'", "f", True)


def test_dates_are_written_as_dates(small_world: World) -> None:
    (clause,) = clauses(small_world, 2, "signup_date < CURRENT_DATE", {"days_since_signup": 2})
    assert clause.has == "2026-11-12"

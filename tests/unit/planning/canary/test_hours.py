"""The canary's people have a campaign's first hours, the others those after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from angelia.contracts.ids import user_keys
from angelia.matching import in_canary
from angelia.planning.canary import canary_hours
from angelia.planning.eligibility import Pairs, assemble
from angelia.planning.terms import Terms
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people
from tests.unit.planning.test_eligibility import NOTHING

NAMES = [f"u{number}" for number in range(60)]
FIRST = in_canary(user_keys(NAMES), "sale", "2026-11-14", 30.0)


def terms(**changes: Any) -> Terms:
    sale = replace(CAMPAIGN, canary=(30.0, 3), **changes)
    return replace(TERMS, campaigns=(sale, *TERMS.campaigns[1:]), quiet=None)


def pairs(n: int) -> Pairs:
    nothing = np.zeros(n, np.int64)
    return Pairs(np.arange(n), nothing, np.full(n, 0.05), np.ones(n, bool), nothing, CategoryHours.of({}))


def test_the_rest_begins_so_many_hours_after_the_first_open_one() -> None:
    built = assemble(terms(send_window=(9, 21)), people(NAMES), pairs(60), NOTHING)
    # The plan begins at 04:00 UTC, the window at 09:00: slot 5.
    assert {tuple(np.flatnonzero(row)) for row in built.problem.allowed[FIRST]} == {(5, 6, 7)}
    assert {tuple(np.flatnonzero(row)) for row in built.problem.allowed[~FIRST]} == {tuple(range(8, 17))}
    assert set(built.outcome.tolist()) == {"open"}


def test_hours_are_counted_on_each_person_s_own_clock() -> None:
    who = people(NAMES, timezone=["UTC", "America/New_York"] * 30)
    allowed = assemble(terms(send_window=(9, 21)), who, pairs(60), NOTHING).problem.allowed
    assert {int(np.flatnonzero(row)[0]) for row in allowed[0::2][~FIRST[0::2]]} == {8}
    assert {int(np.flatnonzero(row)[0]) for row in allowed[1::2][~FIRST[1::2]]} == {13}  # five hours later


def test_who_has_no_hour_left_is_counted() -> None:
    built = assemble(terms(send_window=(9, 12)), people(NAMES), pairs(60), NOTHING)
    assert set(built.outcome[FIRST].tolist()) == {"open"}
    assert set(built.outcome[~FIRST].tolist()) == {"after_canary"}
    assert not built.problem.allowed[~FIRST].any()


def test_who_had_no_hour_anyway_is_no_canary_s_doing() -> None:
    built = assemble(terms(end_date=TERMS.start.date().replace(day=2)), people(NAMES), pairs(60), NOTHING)
    assert set(built.outcome.tolist()) == {"no_slot"}


@pytest.mark.parametrize("cut", [1, 17, 59])
def test_no_shard_s_border_changes_anything(cut: int) -> None:
    clock, keys = np.zeros(60, np.int64), user_keys(NAMES)
    open_hours = np.arange(24)[None, :] >= 5
    sale = terms().campaigns[0]
    whole = canary_hours(sale, TERMS.ds, keys, open_hours, clock)
    halves = [
        canary_hours(sale, TERMS.ds, keys[part], open_hours, clock[part])
        for part in (slice(cut), slice(cut, None))
    ]
    assert np.array_equal(np.vstack(halves), whole)


def test_without_a_canary_every_hour_stays() -> None:
    assert canary_hours(
        CAMPAIGN, TERMS.ds, user_keys(NAMES), np.ones((1, 24), bool), np.zeros(60, np.int64)
    ).all()

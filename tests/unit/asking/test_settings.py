"""What a what-if may set: each setting once, by its name, within its bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.asking.settings import parse, with_hours
from angelia.errors import InvalidInput
from tests.unit.planning.test_eligibility import TERMS


def test_a_setting_may_be_made_once() -> None:
    with pytest.raises(InvalidInput, match="min_gap_hours is set twice"):
        parse(["min_gap_hours=1", "min_gap_hours=2"])


def test_an_hours_own_capacity_is_the_plans_and_explorations() -> None:
    terms = with_hours(replace(TERMS, first_slot=2, explore_pct=5.0), {("fcm", 4): 9, ("fcm", 8): 40})
    assert terms.start.hour == 4
    limits, reserve = terms.limits(), terms.explore_limits()
    assert limits.capacity[0, [0, 1, 4]].tolist() == [0, 0, 38]  # the first has passed
    assert reserve[[0, 1, 4]].tolist() == [0, 0, 2]
    assert limits.capacity[0, 5] + reserve[5] == TERMS.channels[0].capacity_per_hour
    assert with_hours(TERMS, {}) is TERMS

"""Open hours by local day, and what later nights promise groups of people that share them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from angelia.planning.postponing import MaterialRows, Prospect, Stretch, prospect, stretches
from angelia.timing.category_hours import CategoryHours
from angelia.timing.local_time import local_grid

SUNDAY, MONDAY = date(2026, 11, 15), date(2026, 11, 16)


def test_a_nights_hours_are_told_by_local_day() -> None:
    """From Sunday noon on Shanghai's clock to Monday noon; workdays' cells come first."""
    slots = np.datetime64("2026-11-15T04", "h") + np.arange(24)
    local = local_grid(["Asia/Shanghai"], slots)
    hours = type(local)(*(column[0] for column in vars(local).values()))
    off, may = np.arange(24) < 12, np.isin(np.arange(24), [0, 9, 20, 21])
    first, second = stretches(hours, off, may)
    assert first == Stretch((24 + 12, 24 + 21), SUNDAY, 6)
    assert second == Stretch((8, 9), MONDAY, 0)
    assert stretches(hours, off, np.zeros(24, bool)) == []


def test_each_group_has_its_own_open_hours() -> None:
    curves = np.ones((3, 48))
    curves[:, 9], curves[:, 20] = 2.0, 3.0
    morning, evening = Stretch((9,), SUNDAY, 6), Stretch((20,), MONDAY, 0)
    nights = [[[morning], [evening]], [[], [morning, evening]]]
    hours = CategoryHours({}, np.ones((1, 48)), np.ones((1, 7)))
    seen = prospect(nights, np.array([1, 0, 1]), curves, np.full((3, 1), 0.1), MaterialRows([0], {}), hours)
    assert seen.tonight[:, 0] == pytest.approx([0.3, 0.2, 0.3])
    assert seen.later[:, 0] == pytest.approx([0.3, 0.0, 0.3])
    assert not seen.later[:, 1:].any()
    nobody = prospect(
        [[], []], np.zeros(0, np.int64), curves[:0], np.zeros((0, 1)), MaterialRows([0], {}), hours
    )
    assert nobody.later.shape == (0, 6)


def test_later_nights_stand_in_one_ratio_to_every_draw() -> None:
    later = np.array([[0.4] + [0.0] * 5] * 3)
    seen = Prospect(np.array([[0.2, 0.1]] * 3), later)
    assert seen.drawn(np.array([0, 1, -1]))[:, 0] == pytest.approx([0.4, 0.2, 0.0])
    nothing = Prospect(np.zeros((1, 2)), later[:1])
    assert nothing.drawn(np.array([0])).tolist() == [[0.0] * 6], "nothing to compare with"

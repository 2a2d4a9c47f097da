"""Parts of a chart: ticks that hold their data."""

from __future__ import annotations

import re

import pytest

from angelia.drawing.svg import days_axis, nice_ticks


@pytest.mark.parametrize(
    ("highest", "last"),
    [(0, 1), (1, 1), (3, 3), (7, 8), (99, 100), (101, 150), (941, 1000), (0.003, 0.003), (12_345, 15_000)],
)
def test_ticks_are_round_and_hold_the_highest_value(highest: float, last: float) -> None:
    ticks = nice_ticks(highest)
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert ticks[-1] == pytest.approx(last)
    assert 2 <= len(ticks) <= 6


def test_the_newest_day_keeps_off_the_one_before() -> None:
    names = [f"{day} Nov" for day in range(1, 29)]
    for slot in (8.7, 14.4):
        *_, before, newest = days_axis(names, 0, slot, 10)
        middle, end = (float(re.findall(r'x="([\d.]+)"', part)[0]) for part in (before, newest))
        assert end - 42 - (middle + 21) >= 8, "a label is 42 pixels wide"

"""Holm's correction: one interval as its zero says, many by their rank."""

from __future__ import annotations

import pytest

from angelia.effects.multiple import holm


@pytest.mark.parametrize(
    ("row", "stands"),
    [
        ((1.0, 0.01, 2.0), True),
        ((1.0, -0.01, 2.0), False),
        ((-1.0, -2.0, -0.01), True),
        ((0.0, 0.0, 0.0), False),
    ],
)
def test_one_interval_stands_out_where_it_leaves_out_zero(
    row: tuple[float, float, float], stands: bool
) -> None:
    assert holm([row]) == [stands]


def test_one_of_sixteen_that_barely_leaves_out_zero_is_chance() -> None:
    assert not any(holm([(1.0, 0.01, 2.0)] + [(0.1, -1.0, 1.2)] * 15))
    assert holm([(1.0, 0.01, 2.0), (1.0, 0.8, 1.2), *[(0.1, -1.0, 1.2)] * 14])[:2] == [False, True]


def test_none_of_no_intervals_stands_out() -> None:
    assert holm([]) == []

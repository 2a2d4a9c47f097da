"""Power: the textbook's sample size where nights are independent."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.effects.power import Growth, growth, power


def test_growth_is_read_from_the_looks() -> None:
    t = np.arange(1.0, 11.0)
    grown = growth([int(n) for n in t], 0.4 * t, 3.0 * t**1.4, t**0.8)
    assert (grown.mean, grown.variance, grown.exponent, grown.time_exponent) == pytest.approx(
        (0.4, 3, 1.4, 0.8)
    )


def test_one_look_grows_with_the_nights() -> None:
    unit = np.ones(1)
    assert growth([1], 0.4 * unit, 3.0 * unit, unit) == Growth(0.4, 3.0, 1.0, 1.0)


def test_nights_are_those_of_the_textbook() -> None:
    grown = Growth(0.2, 4.0, 1.0, 1.0)
    answer = power(grown, 45_000, 5_000, 0.05, 28)
    # t = ((z + z)^2 variance (1/n + 1/m)) / (effect of a night)^2
    exact = (1.95996 + 0.84162) ** 2 * 4.0 * (1 / 45_000 + 1 / 5_000) / (0.05 * 0.2) ** 2
    assert answer.fixed_nights == int(np.ceil(exact))
    assert answer.sequential_nights is not None
    assert answer.sequential_nights > answer.fixed_nights


def test_what_a_year_does_not_show_has_no_nights() -> None:
    answer = power(Growth(0.2, 4.0, 1.0, 1.0), 900, 100, 0.001, 28)
    assert (answer.fixed_nights, answer.sequential_nights) == (None, None)
    least = [pct for _, pct in answer.smallest]
    assert least == sorted(least, reverse=True)


def test_nothing_happening_gives_no_smallest_effect() -> None:
    assert power(Growth(0.0, 1.0, 1.0, 1.0), 900, 100, 0.05, 28).smallest == ()

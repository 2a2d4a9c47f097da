"""Always-valid intervals: the cited formula, its tuning, and how often daily looks err."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.effects.sequences import LEVEL, always_valid_p, clock, mixture, multiplier


def test_the_kernel_is_the_formula_of_the_paper() -> None:
    t, deviation, eta = 40.0, 2.5, 3.0
    rho_2 = 1 / eta
    radius = deviation * np.sqrt(
        2 * (t * rho_2 + 1) / (t**2 * rho_2) * np.log(np.sqrt(t * rho_2 + 1) / LEVEL)
    )
    assert multiplier(t, eta) * deviation / np.sqrt(t) == pytest.approx(radius)


def test_the_mixture_is_narrowest_at_the_planned_night() -> None:
    best = multiplier(28.0, mixture(28))
    assert all(best < multiplier(28.0, mixture(28) * factor) for factor in (0.8, 0.95, 1.05, 1.25))
    assert float(best) == pytest.approx(3.0351, abs=1e-4)


def test_the_clock_of_independent_nights_counts_them() -> None:
    t = np.arange(1.0, 29.0)
    correlations = np.sqrt(np.concatenate([[0.0], t[:-1] / t[1:]]))
    np.testing.assert_allclose(clock(correlations), t)


def test_a_look_that_tells_nothing_new_stops_the_clock() -> None:
    np.testing.assert_allclose(clock(np.ones((5, 2))), np.ones((5, 2)))


def test_the_p_value_is_the_level_where_the_edge_is_zero() -> None:
    eta, t = mixture(28), 12.0
    edge = float(multiplier(t, eta))
    assert float(always_valid_p(edge, t, eta)) == pytest.approx(LEVEL)
    assert float(always_valid_p(0.0, t, eta)) == 1.0


def test_daily_looks_err_seldom_where_fixed_ones_err_often() -> None:
    steps = np.random.default_rng(5).standard_normal((4_000, 28))
    t = np.arange(1.0, 29.0)
    z = np.abs(np.cumsum(steps, axis=1)) / np.sqrt(t)
    assert (z > multiplier(t, mixture(28))).any(axis=1).mean() <= 0.05
    assert (z > 1.96).any(axis=1).mean() > 0.2

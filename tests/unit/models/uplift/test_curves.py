"""Areas and deciles against small sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.uplift.curves import area, deciles, ranking, weights


def test_weights_have_the_effect_as_their_mean() -> None:
    treated = np.array([True, True, True, False])
    outcome = np.array([1.0, 1.0, 0.0, 1.0])
    gain = outcome * weights(treated, 0.75)
    assert gain.mean() == pytest.approx(2 / 3 - 1)


def test_area_of_four_people_by_hand() -> None:
    gain = np.array([4.0, 0.0, 0.0, 0.0])
    # The curve is 0, 1, 1, 1, 1: trapezoids .125 + 3 * .25, less half of 1 for the straight line.
    qini, auuc = area(np.array([9.0, 3.0, 2.0, 1.0]), gain)
    assert (qini, auuc) == (pytest.approx(0.375), pytest.approx(0.875))
    assert area(np.array([1.0, 2.0, 3.0, 9.0]), gain)[0] == pytest.approx(-0.375)
    assert area(np.zeros(4), gain)[0] == pytest.approx(0.0)  # all equal: the straight line itself


def test_ties_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    score, gain = rng.integers(0, 5, 200).astype(float), rng.normal(size=200)
    order = rng.permutation(200)
    assert area(score, gain) == pytest.approx(area(score[order], gain[order]))


def test_deciles_are_differences_of_means() -> None:
    rng = np.random.default_rng(2)
    score, treated, outcome = rng.normal(size=1000), rng.random(1000) < 0.5, rng.normal(size=1000)
    rows = deciles(score, treated, outcome)
    first = np.argsort(-score)[:100]
    own, other = outcome[first][treated[first]], outcome[first][~treated[first]]
    assert (len(rows), rows[0].n) == (10, 100)
    assert rows[0].predicted == pytest.approx(score[first].mean())
    assert rows[0].realised == pytest.approx(own.mean() - other.mean())
    assert rows[0].low < rows[0].realised < rows[0].high
    assert deciles(score, np.ones(1000, bool), outcome) == []


def test_the_interval_covers_a_known_order() -> None:
    """Scores that are the true lift: the Qini is known, and the interval holds it."""
    rng = np.random.default_rng(3)
    n = 20_000
    lift = np.where(rng.random(n) < 0.5, 0.2, 0.0)
    treated = rng.random(n) < 0.8
    outcome = (rng.random(n) < 0.1 + lift * treated).astype(float)
    interval = ranking(lift, treated, outcome, 0.8, seed=1)
    assert interval.low < 0.025 < interval.high  # half gain .2: the curve's area is .075, the line's .05
    assert interval.low > 0

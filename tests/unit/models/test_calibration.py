"""Calibration: two numbers that undo a distortion, and never turn the ranking round."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import BINS, Calibration, bent, choose_calibration, fit_bend, fit_platt, sigmoid


def test_platt_recovers_a_known_distortion() -> None:
    rng = np.random.default_rng(4)
    truth = rng.normal(-2, 1, 200_000)
    label = (rng.random(len(truth)) < sigmoid(truth)).astype(float)
    slope, offset = fit_platt((truth - 0.5) / 2.0, label, np.ones(len(truth)))
    assert slope == pytest.approx(2.0, abs=0.05)
    assert offset == pytest.approx(0.5, abs=0.08)
    assert fit_platt(truth[:0], label[:0], label[:0]) == (1.0, 0.0)
    assert fit_platt(truth[:5], np.zeros(5), np.ones(5)) == (1.0, 0.0)
    slope, offset = fit_platt(-truth, label, np.ones(len(truth)))
    assert 0 < slope < 1e-3  # upside-down scores are flattened to the base rate, never turned round
    assert sigmoid(np.array([offset]))[0] == pytest.approx(label.mean(), abs=1e-6)


def test_a_sigmoid_neither_overflows_nor_leaves_its_bounds() -> None:
    assert sigmoid(np.array([-1e9, 0.0, 1e9])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("label", [[], [0.0, 0.0], [1.0, 1.0]])
def test_labels_of_one_kind_correct_nothing(label: list[float]) -> None:
    raw = np.arange(len(label), dtype=float)
    assert fit_platt(raw, np.array(label), np.ones(len(label))) == (1.0, 0.0)


def test_scores_without_signal_give_the_level_and_keep_the_order() -> None:
    raw = np.repeat([-3.0, 3.0], 500)
    label = np.concatenate([np.tile([1.0, 1.0, 1.0, 0.0], 125), np.tile([1.0, 0.0, 0.0, 0.0], 125)])
    slope, offset = fit_platt(raw, label, np.ones(1000))
    assert 0 < slope < 1e-3
    assert sigmoid(np.array([offset]))[0] == pytest.approx(0.5)


def test_a_known_part_is_not_scaled() -> None:
    rng = np.random.default_rng(5)
    raw, known = rng.normal(0, 1, 20_000), rng.normal(0, 1, 20_000)
    label = (rng.random(20_000) < sigmoid(0.5 * raw + known - 1)).astype(float)
    slope, offset = fit_platt(raw, label, np.ones(20_000), known=known)
    assert (slope, offset) == (pytest.approx(0.5, abs=0.06), pytest.approx(-1.0, abs=0.06))


def pushes(n: int, seed: int, bend: float) -> tuple[np.ndarray, ...]:
    """Return scores, labels, weights, a known part; low scores are `bend` times as low."""
    rng = np.random.default_rng(seed)
    raw, known = rng.normal(-2, 1, n), rng.normal(0, 0.3, n)
    truth = np.where(raw < -2, -2 + bend * (raw + 2), raw)
    return raw, (rng.random(n) < sigmoid(truth + known)).astype(float), np.ones(n), known


def test_a_bend_is_chosen_where_scores_are_bent() -> None:
    chosen = choose_calibration(*pushes(40_000, 1, 3.0))
    assert chosen.knots is not None
    raw, label, _, known = pushes(40_000, 2, 3.0)
    line = Calibration(chosen.slope, chosen.offset)
    loss = [np.logaddexp(0, z) - label * z for z in (each.log_odds(raw) + known for each in (chosen, line))]
    assert loss[0].mean() < loss[1].mean()
    # It rises everywhere, so that nobody's order changes, and it survives its file.
    assert (np.diff(chosen.log_odds(np.linspace(-9, 5, 2000))) > 0).all()
    again = Calibration.from_dict(chosen.as_dict(40_000))
    assert again.log_odds(raw) == pytest.approx(chosen.log_odds(raw), abs=1e-7)
    assert chosen.as_dict(7)["method"] == "isotonic"


@pytest.mark.parametrize("n", [4 * BINS - 1, 2_000, 40_000])
def test_straight_scores_keep_two_numbers(n: int) -> None:
    chosen = [choose_calibration(*pushes(n, seed, 1.0)) for seed in range(10)]
    assert sum(one.knots is not None for one in chosen) <= 1
    plain = next(one for one in chosen if one.knots is None)
    assert Calibration.from_dict(plain.as_dict(n)) == plain
    assert plain.as_dict(n)["method"] == "platt"


def test_beyond_its_knots_a_bend_follows_the_line() -> None:
    knots = np.array([[-2.0, 0.0], [-3.0, 1.0]])
    assert bent(np.array([-4.0, -2.0, -1.0, 0.0, 2.0]), knots).tolist() == [-5.0, -3.0, -1.0, 1.0, 3.0]


def test_equal_scores_share_one_level() -> None:
    # Ones come last in each half: bins of the same score must not become steps of a curve.
    label = np.tile(np.repeat([0.0, 1.0], [150, 50]), 2)
    knots = fit_bend(np.full(400, -3.0), label, np.ones(400), np.zeros(400))
    assert sigmoid(knots[1]) == pytest.approx([0.25], abs=0.01)
    assert knots[0] == pytest.approx([-3.0])

"""Calibration: two numbers that undo a distortion, and never turn the ranking round."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import fit_platt, sigmoid


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

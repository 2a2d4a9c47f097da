"""What is told of our probabilities: the expected AUC, and the way to the truth."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import uplift
from benchmarks.nights.knowledge import correlation, expected_auc, hours


def test_the_expected_auc_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(5)
    chance, score = rng.uniform(0.01, 0.4, 40), rng.integers(0, 7, 40).astype(float)
    wins = total = 0.0
    for i in range(40):
        for j in range(40):
            if i != j:
                weight = chance[i] * (1 - chance[j])
                total += weight
                wins += weight * ((score[i] > score[j]) + (score[i] == score[j]) / 2)
    assert expected_auc(chance, score) == pytest.approx(wins / total, rel=1e-12)
    assert expected_auc(chance, np.ones(40)) == pytest.approx(0.5)
    assert expected_auc(chance, chance) > 0.6 > 0.4 > expected_auc(chance, -chance)


def test_the_way_to_the_truth_is_told() -> None:
    night = {"sent": 1.0, "opens": 1.0, "unsubscribes": 0.0, "value": 0.0, "predicted": 1.0}
    knows = {"auc": 0.6, "auc_truth": 0.7, "correlation": 0.4}
    knows |= {"log_loss": 0.22, "log_loss_truth": 0.20, "log_loss_rate": 0.25}
    knows |= dict.fromkeys(uplift.HOURS, 1.25)
    (row,) = [uplift.figures([[night | knows, night]], None)["knowledge"]]
    assert row == knows | {"way_auc_pct": 50.0, "way_log_loss_pct": 60.0}
    assert "knowledge" not in uplift.figures([[night]], None)


def test_hours_are_compared_where_they_are_open() -> None:
    rng = np.random.default_rng(6)
    curve, factor = rng.uniform(0.5, 2.0, (50, 24)), rng.uniform(0.5, 2.0, (50, 24))
    is_open = np.zeros((50, 24), bool)
    is_open[:, 4:18] = True
    level = rng.uniform(0.01, 0.2, (50, 1))
    # Closed hours are the best of all, and must not count.
    truth = level * np.where(is_open, curve * factor, 9.0)
    row = hours(truth, curve, factor, is_open)
    assert row["hours_correlation"] == pytest.approx(1.0)
    inside = (curve * factor)[:, 4:18]
    assert row["hours_response"] == row["hours_response_best"]
    assert row["hours_response"] == pytest.approx((inside.max(axis=1) / inside.mean(axis=1)).mean())
    at = curve[:, 4:18].argmax(axis=1)
    wanted = (inside[np.arange(50), at] / inside.mean(axis=1)).mean()
    assert row["hours_response_curve"] == pytest.approx(wanted)
    assert wanted < row["hours_response"]
    shapes = [values / values.mean(axis=1, keepdims=True) for values in (curve[:, 4:18], inside)]
    wanted = np.corrcoef(shapes[0].ravel(), shapes[1].ravel())[0, 1]
    assert row["hours_correlation_curve"] == pytest.approx(wanted)
    assert wanted < 0.9


def test_what_is_the_same_everywhere_correlates_with_nothing() -> None:
    rising = np.arange(5.0)
    assert correlation(rising, 2 * rising) == pytest.approx(1.0)
    assert correlation(np.ones(5), rising) == correlation(rising, np.full(5, 0.1) * 3) == 0.0

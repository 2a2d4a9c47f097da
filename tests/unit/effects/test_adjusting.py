"""Differences from moments: against means and regressions over the persons themselves."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.effects.adjusting import Side, track
from angelia.effects.sequences import F64


def side_of(x: F64, looks: F64) -> Side:
    """Return the moments of persons all there from the first look; `looks` is (looks, persons)."""
    before = np.vstack([looks[:1], looks[:-1]])
    moments = [(np.cov(x, p), np.cov(x, y), np.cov(p, y), x, y) for p, y in zip(before, looks, strict=True)]
    columns = [
        (len(x), x.mean(), y.mean(), xy[0, 0], xy[1, 1], xy[0, 1], xy[0, 0], xp[0, 1], xy[0, 1], py[0, 1])
        for xp, xy, py, x, y in moments
    ]
    return Side(*np.array(columns, float).T)


@pytest.fixture(scope="module")
def people() -> tuple[F64, F64, F64, F64]:
    rng = np.random.default_rng(3)
    x = rng.gamma(0.5, 4.0, 3_000)
    nights = rng.gamma(0.3 + 0.2 * x, 2.0, (6, 3_000))
    held = rng.random(3_000) < 0.2
    nights[:, ~held] += 0.5
    looks = np.cumsum(nights, axis=0)
    return x[~held], looks[:, ~held], x[held], looks[:, held]


def test_the_plain_difference_is_that_of_means(people: tuple[F64, ...]) -> None:
    x1, y1, x0, y0 = people
    line = track(side_of(x1, y1), side_of(x0, y0), adjusted=False)
    np.testing.assert_allclose(line.difference, y1.mean(axis=1) - y0.mean(axis=1))
    welch = np.sqrt(y1.var(axis=1, ddof=1) / len(x1) + y0.var(axis=1, ddof=1) / len(x0))
    np.testing.assert_allclose(line.error, welch)


def test_the_adjusted_one_is_the_regression_with_interactions(people: tuple[F64, ...]) -> None:
    x1, y1, x0, y0 = people
    line = track(side_of(x1, y1), side_of(x0, y0), adjusted=True)
    x, treated = np.concatenate([x1, x0]), np.repeat([1.0, 0.0], [len(x1), len(x0)])
    centred = x - x.mean()
    design = np.column_stack([np.ones_like(x), treated, centred, treated * centred])
    fitted = np.linalg.lstsq(design, np.concatenate([y1[-1], y0[-1]]), rcond=None)[0]
    assert line.difference[-1] == pytest.approx(fitted[1])
    plain = track(side_of(x1, y1), side_of(x0, y0), adjusted=False)
    assert (line.error < plain.error).all()  # this history predicts


def test_the_clock_sees_that_persons_stay_the_same(people: tuple[F64, ...]) -> None:
    x1, y1, x0, y0 = people
    plain = track(side_of(x1, y1), side_of(x0, y0), adjusted=False)
    adjusted = track(side_of(x1, y1), side_of(x0, y0), adjusted=True)
    assert plain.time[0] == adjusted.time[0] == 1.0
    assert plain.time[-1] < adjusted.time[-1]  # history explains what lasts
    assert adjusted.time[-1] == pytest.approx(6.0, rel=0.3)  # six nights, else independent


def test_history_without_variance_changes_nothing(people: tuple[F64, ...]) -> None:
    x1, y1, x0, y0 = people
    sides = side_of(0 * x1, y1), side_of(0 * x0, y0)
    line, plain = (track(*sides, adjusted=adjusted) for adjusted in (True, False))
    np.testing.assert_array_equal(line.difference, plain.difference)

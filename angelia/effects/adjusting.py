"""Differences between two sides of a panel, with and without regression on history.

Everything is computed from means, variances and covariances, which SQL or NumPy provide; so a million persons
are sixteen numbers a look. Arrays have the shape (looks, ...): a figure is cumulative up to its look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from angelia.effects.sequences import F64, clock


@dataclass(frozen=True)
class Side:
    """One side's moments at each look, of history x, outcome y, and outcome a look before p.

    `old_` moments are over those who had entered by the look before; in the first row they are not read.
    """

    n: F64
    mean_x: F64
    mean_y: F64
    var_x: F64
    var_y: F64
    cov_xy: F64
    old_var_x: F64
    old_cov_xp: F64
    old_cov_xy: F64
    old_cov_py: F64


@dataclass(frozen=True)
class Track:
    """A difference per person at each look, its standard error, and the sequence's clock."""

    difference: F64
    error: F64
    time: F64


def track(treated: Side, holdout: Side, *, adjusted: bool) -> Track:
    """Return treated minus holdout at each look.

    Unadjusted it is the difference in means with Welch's standard error. Adjusted, each side is regressed on
    history and read at the mean of both sides' history.

    Source: Lin, "Agnostic notes on regression adjustments to experimental data" (Annals of Applied Statistics
    2013), the regression with interactions; Deng, Xu, Kohavi, Walker, "Improving the sensitivity of online
    controlled experiments by utilizing pre-experiment data" (WSDM 2013), CUPED. The last term of the variance
    says that persons are drawn from more persons (Negi, Wooldridge, Econometric Reviews 2021).
    """
    slope_1, slope_0 = (_slope(treated), _slope(holdout)) if adjusted else (0 * treated.n, 0 * holdout.n)
    n = treated.n + holdout.n
    middle = (treated.n * treated.mean_x + holdout.n * holdout.mean_x) / n
    difference = (treated.mean_y - slope_1 * (treated.mean_x - middle)) - (
        holdout.mean_y - slope_0 * (holdout.mean_x - middle)
    )
    spread_x = (treated.n * treated.var_x + holdout.n * holdout.var_x) / n
    gap = slope_1 - slope_0
    variance = (
        _residual(treated, slope_1, adjusted) / treated.n
        + _residual(holdout, slope_0, adjusted) / holdout.n
        + gap**2 * spread_x / n
    )
    shared = np.zeros_like(variance)
    # The mean over all of this look and that over those of the look before share the persons of the latter.
    shared[1:] = (
        _shared(treated, slope_1)[1:] / treated.n[1:]
        + _shared(holdout, slope_0)[1:] / holdout.n[1:]
        + (gap[1:] * gap[:-1]) * (spread_x / n)[1:]
    )
    error = np.sqrt(np.maximum(variance, 0.0))
    both = np.ones_like(error)
    both[1:] = error[1:] * error[:-1]
    correlation = np.divide(shared, both, out=np.ones_like(both), where=both > 0)
    return Track(difference, error, clock(correlation))


def _slope(side: Side) -> F64:
    slope: F64 = np.divide(side.cov_xy, side.var_x, out=np.zeros_like(side.cov_xy), where=side.var_x > 0)
    return slope


def _residual(side: Side, slope: F64, adjusted: bool) -> F64:
    residual: F64 = side.var_y - 2 * slope * side.cov_xy + slope**2 * side.var_x
    return residual * (side.n - 1) / np.maximum(side.n - 2, 1) if adjusted else residual


def _shared(side: Side, slope: F64) -> F64:
    before = np.concatenate([slope[:1], slope[:-1]])
    shared: F64 = (
        side.old_cov_py - slope * side.old_cov_xp - before * side.old_cov_xy + slope * before * side.old_var_x
    )
    return shared

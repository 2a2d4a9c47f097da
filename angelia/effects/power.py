"""How long until an effect can be seen, as a pure kernel.

Means and variances of the outcome grow with the nights; both are read from the looks of a panel at hand and
drawn on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from angelia.effects.sequences import F64, mixture, multiplier

Z_FIXED = 1.959963984540054
Z_POWER = 0.8416212335729143  # four of five times
MOST_NIGHTS = 366


@dataclass(frozen=True)
class Growth:
    """How a holdout's outcome grows: mean a night, first variance, and its exponent.

    The exponent of the clock says how fast looks part from each other.
    """

    mean: float
    variance: float
    exponent: float
    time_exponent: float


@dataclass(frozen=True)
class Power:
    """Nights until a relative effect is seen four of five times; None: not within a year."""

    effect: float
    fixed_nights: int | None
    sequential_nights: int | None
    smallest: tuple[tuple[int, float], ...]  # nights -> smallest relative effect, by one look at the end


def growth(nights: Sequence[int], means: F64, variances: F64, times: F64) -> Growth:
    """Return the growth that fits the looks: lines through logarithms, weighted alike.

    With one look the variance is taken to grow with the nights.
    """
    t = np.asarray(nights, np.float64)
    usable = (np.asarray(variances) > 0) & (t > 0)
    if usable.sum() >= 2:
        exponent, start = np.polyfit(np.log(t[usable]), np.log(np.asarray(variances)[usable]), 1)
        variance = float(np.exp(start))
        pace = float(np.log(times[-1] / times[0]) / np.log(t[-1] / t[0]))
    else:
        exponent, pace = 1.0, 1.0
        variance = float(variances[-1] / t[-1])
    return Growth(float(means[-1] / t[-1]), variance, float(np.clip(exponent, 0.0, 2.0)), max(pace, 0.0))


def power(grown: Growth, n_treated: float, n_holdout: float, effect: float, planned: int) -> Power:
    """Return how long an effect of `effect` times the holdout's mean takes to be seen."""
    t = np.arange(1, MOST_NIGHTS + 1, dtype=np.float64)
    error = np.sqrt(grown.variance * t**grown.exponent * (1 / n_treated + 1 / n_holdout))
    mean = abs(grown.mean) * t
    score = abs(effect) * mean / error
    wide = multiplier(t**grown.time_exponent, mixture(planned))
    smallest = (Z_FIXED + Z_POWER) * error / mean if grown.mean else np.full_like(t, np.inf)
    shown = [n for n in (7, 14, 28, 56, 91, 182) if np.isfinite(smallest[n - 1])]
    return Power(
        effect,
        _first(score >= Z_FIXED + Z_POWER),
        _first(score >= wide + Z_POWER),
        tuple((n, float(smallest[n - 1])) for n in shown),
    )


def _first(reached: np.ndarray) -> int | None:
    return int(np.argmax(reached)) + 1 if reached.any() else None

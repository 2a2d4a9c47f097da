"""Intervals that hold at every look: an asymptotic confidence sequence, as a pure kernel.

A 95 % interval holds for a single look. Whoever looks every day and acts on the first that excludes zero errs
far more often than one time in twenty. These intervals hold at all looks together.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences" (Annals of Statistics 2024, arXiv 2103.06476), theorem 2.2: the running mean of t
variables of deviation s is within

    s sqrt( 2 (t rho^2 + 1) / (t^2 rho^2)  log( sqrt(t rho^2 + 1) / level ) )

at all t together. With eta = 1 / rho^2, and the standard error s / sqrt(t) drawn out, that is
se sqrt( (1 + eta / t) (log(1 + t / eta) - 2 log level) ), the form used here: Robbins' normal mixture.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import lambertw

F64 = npt.NDArray[np.float64]

LEVEL = 0.05
# Two looks whose errors have less in common than this are as good as independent.
_LEAST_CORRELATION = 1e-3


def clock(correlations: F64) -> F64:
    """Return the time t of each look from its correlation with the look before.

    Shape (looks, ...); the first row is not read. Of a sum of independent equal nights it is the number of
    nights: corr^2 = (t - 1) / t. A panel of persons is not that: who spends much goes on spending, so looks
    have more in common and the clock runs slower; a share of people who ever converted fills up, and it runs
    faster. The kernel needs a Brownian motion on this clock, where the correlation of any two looks is
    sqrt(t1 / t2). Where looks further apart have more in common than this chain says, as with lasting
    differences between persons, the intervals are too wide rather than too narrow (Slepian's inequality).
    """
    steps = np.clip(np.asarray(correlations, np.float64), _LEAST_CORRELATION, 1.0) ** -2.0
    steps[0] = 1.0
    return np.asarray(np.cumprod(steps, axis=0), np.float64)


def mixture(nights: float, level: float = LEVEL) -> float:
    """Return eta, with which the intervals are narrowest at the time `nights`.

    Source: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
    sequences" (Annals of Statistics 2021), proposition 3: nights / eta = -W(-level^2 / e) - 1 on the lower
    branch of Lambert's function. It is chosen before looking, never from the figures.
    """
    return nights / (-float(lambertw(-(level**2) / np.e, k=-1).real) - 1.0)


def multiplier(time: F64 | float, eta: float, level: float = LEVEL) -> F64:
    """Return half an interval's width in standard errors at each time."""
    t = np.asarray(time, np.float64)
    return np.asarray(np.sqrt((1.0 + eta / t) * (np.log1p(t / eta) - 2.0 * np.log(level))), np.float64)


def always_valid_p(z: F64 | float, time: F64 | float, eta: float) -> F64:
    """Return the level at which the interval's edge is zero: a p-value good at every look."""
    t, score = np.asarray(time, np.float64), np.asarray(z, np.float64)
    log_p = 0.5 * np.log1p(t / eta) - 0.5 * score**2 * t / (t + eta)
    return np.asarray(np.exp(np.minimum(log_p, 0.0)), np.float64)

"""Calibration of raw scores to probabilities: two numbers, kept as JSON.

Source: Platt (1999), Probabilistic outputs for support vector machines, §2.2, fitted by Newton's method on
    the raw log-odds. Two numbers rather than a step function: ranking stays strict, and a small calibration
    set cannot overfit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def fit_platt(
    raw: Floats, label: Floats, weight: Floats, ridge: float = 1.0, known: Floats | None = None
) -> tuple[float, float]:
    """Return (slope, offset) of p = sigmoid(slope * raw + offset + known).

    They are shrunk a little to (1, 0), which is returned if there is one class only.

    Args:
        raw: (n,) log-odds.
        label: (n,) 0 or 1.
        weight: (n,) non-negative.
        ridge: pseudo examples behind (1, 0).
        known: (n,) part of the log-odds that is not to be scaled; None = 0.
    """
    if len(label) == 0 or label.min() == label.max():
        return 1.0, 0.0
    design = np.stack([raw, np.ones_like(raw)], axis=1)
    prior = np.array([1.0, 0.0])
    theta = prior.copy()
    fixed = np.zeros_like(raw) if known is None else known

    def loss(at: Floats) -> float:
        z = design @ at + fixed
        return float(
            (weight * (np.logaddexp(0.0, z) - label * z)).sum() + 0.5 * ridge * ((at - prior) ** 2).sum()
        )

    for _ in range(100):
        p = sigmoid(design @ theta + fixed)
        gradient = design.T @ (weight * (p - label)) + ridge * (theta - prior)
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design + ridge * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Far from the optimum a full Newton step can overshoot without end; half it until it helps.
        for _ in range(40):
            if loss(theta - step) <= loss(theta):
                break
            step = step / 2
        theta = theta - step
        if np.abs(step).max() < 1e-10:
            break
    # A falling line would turn the ranking round: the scores carry no signal, so only the level is corrected.
    if theta[0] <= 0:
        base = float(np.clip((weight * label).sum() / weight.sum(), 1e-6, 1 - 1e-6))
        return 1e-6, float(np.log(base / (1 - base)))
    return float(theta[0]), float(theta[1])

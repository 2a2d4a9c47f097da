"""Calibration of raw scores to probabilities: two numbers, a bend where one helps.

Two numbers first: a small calibration set cannot overfit. A rising curve through the levels of bins follows
only where each half of the pushes says credibly that it suits the other half better. It is a curve rather
than steps, so ranking stays strict.

Source: Platt (1999), Probabilistic outputs for support vector machines, §2.2, fitted by Newton's method on
    the raw log-odds; Zadrozny & Elkan (2002), Transforming classifier scores into accurate multiclass
    probability estimates, §3, isotonic regression by pooling adjacent violators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BINS = 20
CREDIBLE = 2.0  # standard errors by which a bend must suit unseen pushes better


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


@dataclass(frozen=True)
class Calibration:
    """A rising map of raw log-odds: a line, and the knots of a bend, (2, k), if any."""

    slope: float
    offset: float
    knots: Floats | None = None

    def log_odds(self, raw: Floats) -> Floats:
        """Return calibrated log-odds, (n,)."""
        line = self.slope * raw + self.offset
        return line if self.knots is None else bent(line, self.knots)

    def as_dict(self, n: int) -> dict[str, Any]:
        """Return it as JSON; `n` is how many pushes it was fitted on."""
        facts: dict[str, Any] = {"method": "platt", "slope": self.slope, "offset": self.offset, "n": n}
        if self.knots is not None:
            facts |= {"method": "isotonic", "knots": np.round(self.knots, 9).tolist()}
        return facts

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Calibration:
        """Return what `as_dict` said."""
        knots = np.array(facts["knots"], np.float64) if facts.get("knots") else None
        return cls(float(facts["slope"]), float(facts["offset"]), knots)


def bent(line: Floats, knots: Floats) -> Floats:
    """Return log-odds along the knots, and parallel to the line beyond them."""
    at, level = knots
    inside = np.clip(line, at[0], at[-1])
    return np.asarray(np.interp(inside, at, level) + (line - inside))


def fit_bend(line: Floats, label: Floats, weight: Floats, known: Floats) -> Floats:
    """Return the knots of the best rising curve through levels of bins, (2, k)."""
    rows = [part for part in np.array_split(np.argsort(line, kind="stable"), BINS) if len(part)]
    blocks: list[tuple[npt.NDArray[np.int64], float]] = []
    for part in rows:
        blocks.append((part, _level(line[part], label[part], weight[part], known[part])))
        # A level that is no higher than the one before it shares one with it, and so do equal scores.
        while len(blocks) > 1 and (
            blocks[-1][1] <= blocks[-2][1] or line[blocks[-1][0][0]] <= line[blocks[-2][0][-1]]
        ):
            both = np.concatenate([blocks[-2][0], blocks[-1][0]])
            blocks[-2:] = [(both, _level(line[both], label[both], weight[both], known[both]))]
    centre = [float(np.average(line[part], weights=weight[part])) for part, _ in blocks]
    return np.array([centre, [level for _, level in blocks]])


def _level(line: Floats, label: Floats, weight: Floats, known: Floats) -> float:
    """Return the log-odds that suit a bin best; one pseudo push is behind the line's."""
    start = level = float(np.average(line, weights=weight))
    behind = sigmoid(np.array(start)) * (1.0 - sigmoid(np.array(start)))
    for _ in range(50):
        p = sigmoid(level + known)
        step = ((weight * (p - label)).sum() + behind * (level - start)) / (
            (weight * p * (1.0 - p)).sum() + behind
        )
        level -= float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-9:
            break
    return level


def choose_calibration(raw: Floats, label: Floats, weight: Floats, known: Floats) -> Calibration:
    """Return a line, and a bend of it if the halves say that it suits each other.

    Each half of the pushes judges the bend that was fitted on the other one.

    Args:
        raw: (n,) log-odds, in time order.
        label: (n,) 0 or 1.
        weight: (n,) non-negative.
        known: (n,) part of the log-odds that is not to be scaled.
    """

    def losses(calibration: Calibration, rows: slice) -> Floats:
        z = calibration.log_odds(raw[rows]) + known[rows]
        return np.asarray(weight[rows] * (np.logaddexp(0.0, z) - label[rows] * z))

    def fitted(rows: slice) -> tuple[Calibration, Calibration]:
        plain = Calibration(*fit_platt(raw[rows], label[rows], weight[rows], known=known[rows]))
        knots = fit_bend(plain.log_odds(raw[rows]), label[rows], weight[rows], known[rows])
        return plain, Calibration(plain.slope, plain.offset, knots)

    halves = slice(0, len(label) // 2), slice(len(label) // 2, len(label))
    if min(rows.stop - rows.start for rows in halves) < 2 * BINS:
        return Calibration(*fit_platt(raw, label, weight, known=known))
    gains = []
    for rows, other in (halves, halves[::-1]):
        plain, bend = fitted(rows)
        gains.append(losses(plain, other) - losses(bend, other))
    gain = np.concatenate(gains)
    plain, bend = fitted(slice(0, len(label)))
    return bend if gain.sum() > CREDIBLE * gain.std() * np.sqrt(len(gain)) else plain

"""The effect of a number on a rate, within groups: a conditional Poisson likelihood.

Grain: row. Pure functions; reads and writes nothing. It leans to zero by a prior, so that little evidence
gives an effect near zero.

Source: Hausman, Hall, Griliches: Econometric models for count data (1984), the conditional likelihood of a
Poisson model with fixed effects; its variance is clustered by group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SPREAD = 0.5  # standard deviation of the effects before anything is known
STEPS = 50


@dataclass(frozen=True)
class RateEffect:
    """An effect on a log rate: as counted, its standard error, and leaning to zero."""

    counted: float
    error: float
    leaning: float
    n: int

    def as_dict(self) -> dict[str, float | None]:
        """Return it for the model's files, with a 95 % interval; null where nothing tells."""
        is_known = np.isfinite(self.error)
        return {
            "counted": round(self.counted, 5),
            "low": round(self.counted - 1.96 * self.error, 5) if is_known else None,
            "high": round(self.counted + 1.96 * self.error, 5) if is_known else None,
            "leaning": round(self.leaning, 5),
            "n": self.n,
        }


def conditional(x: Floats, offset: Floats, label: Floats, group: Ints) -> RateEffect:
    """Return the effect of x on the log rate of labels, given each group's number of them.

    Within a group, a label falls on a row in proportion to exp(offset + effect * x): the group's own rate
    cancels out. All arguments (n,).
    """
    numbers, place = np.unique(group, return_inverse=True)
    counts = np.bincount(place, weights=label, minlength=len(numbers))
    # Who never did, or has one row only, says nothing about the effect.
    size = np.bincount(place, minlength=len(numbers))
    tells = ((counts > 0) & (size > 1))[place]
    place, x, offset, label = place[tells], x[tells], offset[tells], label[tells]
    if not len(x) or np.ptp(x) == 0:
        return RateEffect(0.0, float("inf"), 0.0, 0)

    def moments(effect: float) -> tuple[Floats, Floats]:
        """Return each group's mean and variance of x under the model."""
        weight = np.exp(offset + effect * x)
        total, first, second = (
            np.bincount(place, weights=weight * power, minlength=len(numbers))
            for power in (np.ones(len(x)), x, x**2)
        )
        mean = np.divide(first, total, out=np.zeros(len(numbers)), where=total > 0)
        return mean, np.divide(second, total, out=np.zeros(len(numbers)), where=total > 0) - mean**2

    scored = np.bincount(place, weights=label * x, minlength=len(numbers))

    def solved(prior: float) -> float:
        effect = 0.0
        for _ in range(STEPS):
            mean, variance = moments(effect)
            bend = float((counts * variance).sum()) + prior
            step = (float((scored - counts * mean).sum()) - prior * effect) / max(bend, 1e-12)
            effect = float(np.clip(effect + np.clip(step, -1.0, 1.0), -10.0, 10.0))
            if abs(step) < 1e-9:
                break
        return effect

    counted = solved(0.0)
    mean, variance = moments(counted)
    bend = float((counts * variance).sum())
    # Of few people the clustered variance is too small: the model's own is the least.
    spread = max(float(((scored - counts * mean) ** 2).sum()) if len(numbers) > 1 else bend, bend)
    error = spread**0.5 / bend if bend > 0 else float("inf")
    # The prior's weight is set against the clustered variance, not against the model's own.
    prior = bend * (error / SPREAD) ** 2 if np.isfinite(error) else float("inf")
    leaning = solved(prior) if np.isfinite(prior) else 0.0
    return RateEffect(counted, error, leaning, int(label.sum()))

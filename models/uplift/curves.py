"""How well scores order people by what a message does to them: Qini, AUUC, deciles.

Pure functions of arrays over people of a randomised comparison: `score` (n,), `treated` (n,) bool, `outcome`
(n,), `share` the probability of being treated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Z = 1.959964
DECILES = 10
REPETITIONS = 200


@dataclass(frozen=True)
class Ranking:
    """The area between the model's curve and a straight line, per person, with its interval."""

    qini: float
    low: float
    high: float
    auuc: float


@dataclass(frozen=True)
class Decile:
    """A tenth of the people from the highest score: what was predicted, and what came."""

    n: int
    predicted: float
    realised: float
    low: float
    high: float


def weights(treated: Bools, share: float) -> Floats:
    """Return signed weights: outcome times weight has the effect as its mean.

    Source: Horvitz & Thompson (1952), with the known probability of being treated.
    """
    return np.where(treated, 1.0 / share, -1.0 / (1.0 - share)).astype(np.float64)


def area(score: Floats, gain: Floats) -> tuple[float, float]:
    """Return (Qini, AUUC): the area below the gain less a straight line's, and whole.

    People of one score stand at their group's mean place, so ties neither gain nor lose. Source: Radcliffe
    (2007), Using control groups to target on predicted lift; the gain by Horvitz-Thompson weights.
    """
    n = len(score)
    order = np.argsort(-score, kind="stable")
    _, inverse = np.unique(-score[order], return_inverse=True)
    total = np.bincount(inverse, gain[order])
    size = np.bincount(inverse)
    # Within a tie everybody has the mean gain: the curve is a straight line there.
    steps = np.repeat(total / size, size)
    curve = np.concatenate(([0.0], np.cumsum(steps))) / n
    whole = float((curve[1:] + curve[:-1]).sum() / (2 * n))
    return whole - float(curve[-1]) / 2, whole


def ranking(score: Floats, treated: Bools, outcome: Floats, share: float, seed: int) -> Ranking:
    """Return the Qini with a 95 % interval: basic bootstrap of people, each side by itself."""
    gain = (outcome - outcome.mean()) * weights(treated, share)
    qini, auuc = area(score, outcome * weights(treated, share))
    # The centred outcome has the same expectation and less noise, since the sides' sizes then cancel.
    qini = area(score, gain)[0]
    rng = np.random.default_rng([seed, 5])
    sides = [np.flatnonzero(treated), np.flatnonzero(~treated)]
    drawn = []
    for _ in range(REPETITIONS):
        rows = np.concatenate([side[rng.integers(0, len(side), len(side))] for side in sides])
        drawn.append(area(score[rows], gain[rows])[0])
    error = float(np.std(drawn, ddof=1))
    return Ranking(qini, qini - Z * error, qini + Z * error, auuc)


def deciles(score: Floats, treated: Bools, outcome: Floats) -> list[Decile]:
    """Return predicted and realised lift of each tenth, highest scores first.

    Realised is the difference of means with Welch's interval; a tenth without two people on each side has
    none and is left out.
    """
    rows = []
    for part in np.array_split(np.argsort(-score, kind="stable"), DECILES):
        own, other = outcome[part][treated[part]], outcome[part][~treated[part]]
        if min(len(own), len(other)) < 2:
            continue
        realised = float(own.mean() - other.mean())
        half = Z * float(np.sqrt(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other)))
        rows.append(Decile(len(part), float(score[part].mean()), realised, realised - half, realised + half))
    return rows

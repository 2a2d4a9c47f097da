"""Draw materials by inverse-gap weighting, with the exact probability of each draw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def inverse_gap(scores: F64, loss: float, doubt: F64 | None = None) -> F64:
    """Return the probability of each material, shape (n, k), by inverse-gap weighting.

    A material that is expected to earn the share g less than the best one gets 1 / (k + gamma g), the best
    one the rest. With gamma = (k - 1) / loss at most the share `loss` of a row's best score is given up to
    learn about the others: near ties are tried often, clear losers seldom, and nothing never. `doubt`, (k,)
    or (n, k) in (0, 1], says how much of each material is still unknown: so much of its chance it keeps,
    since trying what is known teaches nothing. NaN scores are ineligible materials: probability 0. Rows
    without any material are all 0. Source: Foster & Rakhlin (2020), Beyond UCB: optimal and efficient
    contextual bandits with regression oracles, algorithm 1, on relative gaps.
    """
    eligible = ~np.isnan(scores)
    n = eligible.sum(axis=1, keepdims=True)
    filled = np.where(eligible, np.maximum(scores, 0.0), -1.0)
    if not scores.shape[1]:
        return np.zeros(scores.shape)
    best = filled.argmax(axis=1)
    top = np.take_along_axis(filled, best[:, None], axis=1)
    gap = np.where(eligible & (top > 0), (top - filled) / np.where(top > 0, top, 1.0), 0.0)
    gamma = np.maximum(n - 1, 0) / max(loss, 1e-9)
    chance = np.where(eligible, 1.0 / np.maximum(n + gamma * gap, 1.0), 0.0)
    if doubt is not None:
        chance = chance * doubt
    rest = 1.0 - (chance.sum(axis=1) - np.take_along_axis(chance, best[:, None], axis=1)[:, 0])
    np.put_along_axis(chance, best[:, None], np.where(n > 0, rest[:, None], 0.0), axis=1)
    return np.asarray(chance)


def draw(probabilities: F64, uniforms: F64) -> npt.NDArray[np.int64]:
    """Return the drawn column per row, shape (n,); -1 where a row has no material.

    Drawn by inversion of `uniforms` in [0, 1).
    """
    edges = np.cumsum(probabilities, axis=1)
    total = edges[:, -1] if probabilities.shape[1] else np.zeros(len(probabilities))
    picked = (edges <= (uniforms * total)[:, None]).sum(axis=1)
    # The last eligible column catches a rounding error at the upper end.
    last = (
        probabilities.shape[1] - 1 - np.argmax((probabilities > 0)[:, ::-1], axis=1)
        if probabilities.shape[1]
        else picked
    )
    return np.where(total > 0, np.minimum(picked, last), -1).astype(np.int64)

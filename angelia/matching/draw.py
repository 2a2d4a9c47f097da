"""The material draw: softmax over calibrated scores mixed with a uniform share, with the exact probability of
what was drawn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def softmax_epsilon(scores: F64, temperature: float, epsilon: float) -> F64:
    """Return the probability of each material, shape (n, k): (1 - epsilon) softmax(score / temperature) +
    epsilon uniform.

    NaN scores are ineligible materials: probability 0, and no part of the uniform share. Rows without any
    material are all 0. Source: Boltzmann exploration with a uniform floor, Sutton and Barto: Reinforcement
    Learning, 2nd ed., §2.8 and §13.
    """
    eligible = ~np.isnan(scores)
    n = eligible.sum(axis=1, keepdims=True)
    filled = np.where(eligible, scores, -np.inf)
    top = np.max(filled, axis=1, keepdims=True, initial=-np.inf)
    weight = np.where(eligible, np.exp((filled - np.where(n > 0, top, 0.0)) / temperature), 0.0)
    total = weight.sum(axis=1, keepdims=True)
    soft = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    flat = np.where(eligible, 1.0 / np.maximum(n, 1), 0.0)
    return np.asarray((1.0 - epsilon) * soft + epsilon * flat)


def draw(probabilities: F64, uniforms: F64) -> npt.NDArray[np.int64]:
    """Return the drawn column per row, shape (n,), by inversion of `uniforms` in [0, 1); -1 where a row has
    no material.
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

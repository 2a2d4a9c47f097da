"""Logistic regression on the declared features: numbers standardised, categories one column a value, and
crosses.

Grain: example. Reads and writes nothing. Few opens and many weak effects are what push data has, and there a
    line with a prior beats trees (KuaiRand and the simulated world alike); the trees only add what it leaves
    over. Solved by scipy's L-BFGS; what is unknown counts as average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.calibration import sigmoid
from models.features import CROSSES, FEATURES, Matrix, Vocabulary

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Logistic:
    """A fitted line: z = offset + intercept + design @ weights."""

    mean: Floats  # of each feature, 0 for categories
    scale: Floats
    intercept: float
    weights: Floats

    def logit(self, matrix: Matrix, vocabulary: Vocabulary) -> Floats:
        """Return log-odds of encoded examples, shape (n,)."""
        return np.asarray(self.intercept + design(matrix, vocabulary, self.mean, self.scale) @ self.weights)

    def parts(self, matrix: Matrix, vocabulary: Vocabulary) -> Floats:
        """Return what each part of `part_names` adds to the log-odds, (n, parts).

        Their sum and the intercept are `logit`.
        """
        sizes = part_sizes(vocabulary)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        into = sparse.csr_matrix((self.weights, (np.arange(len(owner)), owner)))
        return np.asarray((design(matrix, vocabulary, self.mean, self.scale) @ into).todense())

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, nine digits each."""
        rounded = {name: np.round(getattr(self, name), 9).tolist() for name in ("mean", "scale", "weights")}
        return {**rounded, "intercept": round(self.intercept, 9)}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Logistic:
        """Return what `as_dict` said."""
        arrays = (np.array(facts[name], np.float64) for name in ("mean", "scale", "weights"))
        mean, scale, weights = arrays
        return cls(mean, scale, float(facts["intercept"]), weights)


def columns(vocabulary: Vocabulary) -> list[str]:
    """Return the names of the design's columns."""
    names: list[str] = []
    for feature in FEATURES:
        if feature.kind == "category":
            names += [f"{feature.name}={value}" for value in vocabulary[feature.name]]
        else:
            names += [feature.name, f"{feature.name} unknown"]
    for category, other in CROSSES:
        for value in vocabulary[category]:
            kind = next(feature.kind for feature in FEATURES if feature.name == other)
            if kind == "category":
                names += [f"{category}={value} x {other}={level}" for level in vocabulary[other]]
            else:
                names.append(f"{category}={value} x {other}")
    return names


def part_names() -> list[str]:
    """Return what a score is taken apart into: the features, then the crosses."""
    return [*(feature.name for feature in FEATURES), *(f"{a} x {b}" for a, b in CROSSES)]


def part_sizes(vocabulary: Vocabulary) -> list[int]:
    """Return how many columns of the design each part has."""
    sizes = [len(vocabulary[one.name]) if one.kind == "category" else 2 for one in FEATURES]
    kinds = {feature.name: feature.kind for feature in FEATURES}
    return sizes + [
        len(vocabulary[a]) * (len(vocabulary[b]) if kinds[b] == "category" else 1) for a, b in CROSSES
    ]


def design(matrix: Matrix, vocabulary: Vocabulary, mean: Floats, scale: Floats) -> sparse.csr_matrix:
    """Return the design of encoded examples, (n, len(columns))."""
    n = len(matrix)
    place = {feature.name: position for position, feature in enumerate(FEATURES)}
    parts: list[Any] = []

    def number(position: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
        values = matrix[:, position].astype(np.float64)
        unknown = np.isnan(values)
        return np.where(unknown, 0.0, (values - mean[position]) / scale[position]), unknown

    def onehot(position: int, size: int, values: Floats | None = None) -> sparse.csr_matrix:
        code = matrix[:, position]
        rows = np.flatnonzero(~np.isnan(code))
        data = np.ones(len(rows)) if values is None else values[rows]
        return sparse.csr_matrix((data, (rows, code[rows].astype(np.int64))), shape=(n, size))

    for position, feature in enumerate(FEATURES):
        if feature.kind == "category":
            parts.append(onehot(position, len(vocabulary[feature.name])))
        else:
            values, unknown = number(position)
            parts.append(sparse.csr_matrix(np.stack([values, unknown.astype(np.float64)], axis=1)))
    for category, other in CROSSES:
        size, position = len(vocabulary[category]), place[other]
        if FEATURES[position].kind == "category":
            levels = len(vocabulary[other])
            both = matrix[:, place[category]] * np.float32(levels) + matrix[:, position]
            rows = np.flatnonzero(~np.isnan(both))
            cells = both[rows].astype(np.int64)
            parts.append(sparse.csr_matrix((np.ones(len(rows)), (rows, cells)), shape=(n, size * levels)))
        else:
            parts.append(onehot(place[category], size, number(position)[0]))
    return sparse.hstack(parts, format="csr")


def fit(
    matrix: Matrix,
    vocabulary: Vocabulary,
    label: Floats,
    weight: Floats,
    offset: Floats,
    *,
    ridge: float,
    near: Logistic | None = None,
) -> Logistic:
    """Return the line of the least penalised log loss.

    Args:
        matrix: (n, features) encoded examples.
        vocabulary: their categories.
        label: (n,) 0 or 1.
        weight: (n,) non-negative, mean about 1.
        offset: (n,) known part of the log-odds.
        ridge: strength of the prior on every weight but the intercept, in pseudo examples of variance 1.
        near: a line of about the same examples to start from.
    """
    # Scoring needs none of it, and it takes a third of a second to load.
    from scipy.optimize import minimize

    numbers = np.array([feature.kind != "category" for feature in FEATURES])
    values = np.where(numbers[None, :], matrix, np.nan).astype(np.float64)
    known = (~np.isnan(values)).sum(axis=0)
    mean = np.where(known > 0, np.nansum(values, axis=0) / np.maximum(known, 1), 0.0)
    spread = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / np.maximum(known, 1))
    scale = np.where(spread > 1e-9, spread, 1.0)
    x = design(matrix, vocabulary, mean, scale)
    base = float(np.clip(np.average(label, weights=weight), 1e-6, 1 - 1e-6))
    start = np.zeros(x.shape[1] + 1)
    start[0] = np.log(base / (1 - base)) - float(np.average(offset, weights=weight))
    if near is not None:
        start = np.concatenate([[near.intercept], near.weights])

    def loss(at: Floats) -> tuple[float, Floats]:
        z = offset + at[0] + x @ at[1:]
        gap = weight * (sigmoid(z) - label)
        value = float((weight * (np.logaddexp(0.0, z) - label * z)).sum() + 0.5 * ridge * (at[1:] ** 2).sum())
        return value, np.concatenate([[gap.sum()], x.T @ gap + ridge * at[1:]])

    # Stops where another step wins less than a ten-millionth of the loss: far below what chance moves.
    options = {"maxiter": 300, "maxcor": 20, "ftol": 1e-7}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return Logistic(mean, scale, float(found.x[0]), np.asarray(found.x[1:]))


def choose(
    matrix: Matrix,
    vocabulary: Vocabulary,
    label: Floats,
    weight: Floats,
    offset: Floats,
    train: slice,
    later: slice,
    ridges: Sequence[float] = (300.0, 100.0, 30.0, 10.0),
) -> tuple[Logistic, float]:
    """Return the line fitted on `train` with the ridge that predicts `later` best, and that ridge."""
    best: tuple[float, Logistic, float] | None = None
    line: Logistic | None = None
    for ridge in ridges:  # the strongest first: its line is nearest to none, and each next one starts from it
        part = (label[train], weight[train], offset[train])
        line = fit(matrix[train], vocabulary, *part, ridge=ridge, near=line)
        z = offset[later] + line.logit(matrix[later], vocabulary)
        score = float((weight[later] * (np.logaddexp(0.0, z) - label[later] * z)).sum())
        if best is None or score < best[0]:
            best = (score, line, ridge)
    assert best is not None
    return best[1], best[2]

"""Fit logistic regression on the declared features and their crosses.

Grain: example. Reads and writes nothing. Numbers are standardised, categories have one column a value. Few
opens and many weak effects are what push data has, and there a line with a prior beats trees (KuaiRand and
the simulated world alike); the trees only add what it leaves over. Solved by scipy's L-BFGS; what is unknown
counts as average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.calibration import sigmoid
from models.features import CROSSES, FEATURES, Matrix, Vocabulary

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Column = Callable[[int], Matrix]  # a feature's values by its position, (n,)


@dataclass(frozen=True)
class Logistic:
    """A fitted line: z = offset + intercept + design @ weights."""

    mean: Floats  # of each feature, 0 for categories
    scale: Floats
    intercept: float
    weights: Floats

    def logit(self, matrix: Matrix, vocabulary: Vocabulary) -> Floats:
        """Return log-odds of encoded examples, shape (n,)."""
        start = np.full(len(matrix), self.intercept)
        return self.added(start, lambda position: matrix[:, position], vocabulary, range(len(FEATURES)))

    def added(
        self, start: Floats, column: Column, vocabulary: Vocabulary, features: range, *, crosses: bool = True
    ) -> Floats:
        """Return `start`, (n,), with what some features, and then the crosses, add to the log-odds.

        Summed in the order of the features, so that a sum that was begun for a person goes on for each
        material. No design is built: of its columns an example has a few dozen.
        """
        total, first = start.copy(), np.cumsum([0, *part_sizes(vocabulary)])
        place = {feature.name: position for position, feature in enumerate(FEATURES)}

        def number(position: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
            return standardised(column(position), self.mean[position], self.scale[position])

        def own(codes: Matrix, part: int) -> Floats:
            # What is not in the vocabulary, or unknown, has no column.
            weights = np.append(self.weights[first[part] : first[part + 1]], 0.0)
            return np.asarray(weights[np.nan_to_num(codes, nan=len(weights) - 1).astype(np.int64)])

        for position in features:
            if FEATURES[position].kind == "category":
                total += own(column(position), position)
            else:
                values, unknown = number(position)
                known, missing = self.weights[first[position] : first[position] + 2].tolist()
                total += values * known + unknown * missing
        for part, (category, other) in enumerate(CROSSES if crosses else (), start=len(FEATURES)):
            codes = column(place[category])
            if FEATURES[place[other]].kind == "category":
                total += own(codes * np.float32(len(vocabulary[other])) + column(place[other]), part)
            else:
                total += own(codes, part) * number(place[other])[0]
        return total

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


def standardised(values: Matrix, mean: float, scale: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return a feature's numbers as the line sees them, and which are unknown, (n,) each."""
    values = values.astype(np.float64)
    unknown = np.isnan(values)
    # Unknown stands at the mean, and has a column of its own that says so.
    return np.where(unknown, 0.0, (values - mean) / scale), unknown


def design(matrix: Matrix, vocabulary: Vocabulary, mean: Floats, scale: Floats) -> sparse.csr_matrix:
    """Return the design of encoded examples, (n, len(columns))."""
    n = len(matrix)
    place = {feature.name: position for position, feature in enumerate(FEATURES)}
    parts: list[Any] = []

    def number(position: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
        return standardised(matrix[:, position], mean[position], scale[position])

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
            # NaN in either makes the cross unknown: no column of it is set.
            both = matrix[:, place[category]] * np.float32(levels) + matrix[:, position]
            rows = np.flatnonzero(~np.isnan(both))
            cells = both[rows].astype(np.int64)
            parts.append(sparse.csr_matrix((np.ones(len(rows)), (rows, cells)), shape=(n, size * levels)))
        else:
            parts.append(onehot(place[category], size, number(position)[0]))
    return sparse.hstack(parts, format="csr")


@dataclass(frozen=True)
class Seen:
    """Examples as the line sees them: the design, and what its numbers were standardised by."""

    mean: Floats
    scale: Floats
    x: sparse.csr_matrix

    @classmethod
    def of(cls, matrix: Matrix, vocabulary: Vocabulary) -> Seen:
        """Return encoded examples (n, features), standardised by their own means and deviations."""
        numbers = np.array([feature.kind != "category" for feature in FEATURES])
        values = np.where(numbers[None, :], matrix, np.nan).astype(np.float64)
        known = (~np.isnan(values)).sum(axis=0)
        mean = np.where(known > 0, np.nansum(values, axis=0) / np.maximum(known, 1), 0.0)
        spread = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / np.maximum(known, 1))
        scale = np.where(spread > 1e-9, spread, 1.0)
        return cls(mean, scale, design(matrix, vocabulary, mean, scale))

    def logit(self, line: Logistic) -> Floats:
        """Return the log-odds of a line that was fitted on these examples, (n,)."""
        return np.asarray(line.intercept + self.x @ line.weights)


def fit(
    seen: Seen,
    label: Floats,
    weight: Floats,
    offset: Floats,
    *,
    ridge: float | Floats,
    near: Logistic | None = None,
) -> Logistic:
    """Return the line of the least penalised log loss.

    Args:
        seen: n examples.
        label: (n,) 0 or 1.
        weight: (n,) non-negative, mean about 1.
        offset: (n,) known part of the log-odds.
        ridge: strength of the prior on every weight but the intercept, in pseudo examples of variance 1; one
            for all, or (columns,).
        near: a line of about the same examples to start from.
    """
    # Scoring needs none of it, and it takes a third of a second to load.
    from scipy.optimize import minimize

    x = seen.x
    base = float(np.clip(np.average(label, weights=weight), 1e-6, 1 - 1e-6))
    start = np.zeros(x.shape[1] + 1)
    start[0] = np.log(base / (1 - base)) - float(np.average(offset, weights=weight))
    if near is not None:
        start = np.concatenate([[near.intercept], near.weights])

    def loss(at: Floats) -> tuple[float, Floats]:
        z = offset + at[0] + x @ at[1:]
        gap = weight * (sigmoid(z) - label)
        value = float((weight * (np.logaddexp(0.0, z) - label * z)).sum() + 0.5 * (ridge * at[1:] ** 2).sum())
        return value, np.concatenate([[gap.sum()], x.T @ gap + ridge * at[1:]])

    # Stops where another step wins less than a ten-millionth of the loss: far below what chance moves.
    options = {"maxiter": 300, "maxcor": 20, "ftol": 1e-7}
    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return Logistic(seen.mean, seen.scale, float(optimum.x[0]), np.asarray(optimum.x[1:]))


LEAST, MOST = 1.0, 1e5  # of a prior's strength: nearly none, and as good as no effect
ROUNDS = 12
BLOCK = 1 << 16  # rows of a dense block: 20 MB of a shop's numbers


def families(vocabulary: Vocabulary) -> tuple[list[str], Ints]:
    """Return the families of columns that share a prior, and each column's family, (columns,).

    A category feature is one, a cross is one, and so are the numbers that are known of one thing (`of`).
    """
    names: list[str] = []
    for feature in FEATURES:
        if feature.kind == "category":
            names += [feature.name] * len(vocabulary[feature.name])
        else:
            names += [f"numbers of {feature.of}"] * 2
    place = {feature.name: feature for feature in FEATURES}
    for category, other in CROSSES:
        levels = len(vocabulary[other]) if place[other].kind == "category" else 1
        names += [f"{category} x {other}"] * (len(vocabulary[category]) * levels)
    distinct = list(dict.fromkeys(names))
    return distinct, np.array([distinct.index(name) for name in names], np.int64)


def by_column(strength: Mapping[str, float], vocabulary: Vocabulary) -> Floats:
    """Return the prior's strength of each column, (columns,), from each family's."""
    names, family = families(vocabulary)
    return np.array([strength[name] for name in names])[family]


def choose(
    seen: Seen, vocabulary: Vocabulary, label: Floats, weight: Floats, offset: Floats
) -> tuple[Logistic, dict[str, float]]:
    """Return the line whose priors suit the examples best, and each family's strength.

    A family of columns whose weights are no larger than chance makes them gets a strong prior, one that says
    much a weak one. No examples are kept back for it. Source: MacKay (1992), Bayesian interpolation, Neural
    Computation 4, eq. 4.4 (alpha = gamma / w w'), on the Laplace approximation of a logistic model.
    """
    names, family = families(vocabulary)
    strength = np.full(len(names), 100.0)
    line: Logistic | None = None
    size = np.bincount(family, minlength=len(names))
    products = Products(seen.x)
    for _ in range(ROUNDS):
        line = fit(seen, label, weight, offset, ridge=strength[family], near=line)
        sure = certainty(line, seen, weight, offset, strength[family], products)
        known = np.bincount(family, weights=1.0 - strength[family] * sure, minlength=len(names))
        square = np.bincount(family, weights=line.weights**2, minlength=len(names))
        wanted = np.where(size > 0, np.maximum(known, 1e-3) / np.maximum(square, 1e-9), strength)
        before, strength = strength, np.clip(wanted, LEAST, MOST)
        if np.abs(np.log(strength / before)).max(initial=0.0) < 0.1:
            break
    assert line is not None
    return line, {name: float(f"{value:.3g}") for name, value in zip(names, strength.tolist(), strict=True)}


class Products:
    """Weighted products of a design's columns, x' diag(w) x, again and again for other weights.

    Numbers fill their columns and are multiplied as a dense block, the rest as a sparse one: 364,000 x 205
    take a sixth of the processor time that one sparse product takes.
    """

    FULL = 0.25  # share of examples from which a column counts as full

    def __init__(self, x: sparse.csr_matrix) -> None:
        """Take a design apart."""
        is_full = x.getnnz(axis=0) >= self.FULL * max(x.shape[0], 1)
        self.full, self.rest = np.flatnonzero(is_full), np.flatnonzero(~is_full)
        self.dense, self.sparse = x[:, self.full], x[:, self.rest].tocsr()

    def weighted(self, w: Floats) -> Floats:
        """Return x' diag(w) x, (columns, columns); w is (n,)."""
        size, full, rest = len(self.full) + len(self.rest), self.full, self.rest
        total = np.zeros((size, size))
        # By blocks of rows, so that no second copy of all examples stands in memory.
        for first in range(0, len(w), BLOCK):
            rows = slice(first, first + BLOCK)
            dense, other = self.dense[rows].toarray(), self.sparse[rows]
            heavy = dense * w[rows, None]
            total[np.ix_(full, full)] += dense.T @ heavy
            total[np.ix_(rest, full)] += other.T @ heavy
            scaled = sparse.csr_matrix(
                (other.data * np.repeat(w[rows], np.diff(other.indptr)), other.indices, other.indptr),
                shape=other.shape,
            )
            total[np.ix_(rest, rest)] += (scaled.T @ other).toarray()
        total[np.ix_(full, rest)] = total[np.ix_(rest, full)].T
        return total


def certainty(
    line: Logistic,
    seen: Seen,
    weight: Floats,
    offset: Floats,
    ridge: Floats,
    products: Products | None = None,
) -> Floats:
    """Return the posterior variance of each weight, (columns,), by the Laplace approximation.

    `products` are those of `seen`, where they are at hand.
    """
    p = sigmoid(offset + seen.logit(line))
    curvature = (products or Products(seen.x)).weighted(weight * p * (1 - p)) + np.diag(ridge)
    return np.asarray(np.diag(np.linalg.inv(curvature)))


LEAST_DOUBT = 0.1  # people change: even what is known well is tried now and then
MATTERS = 0.2  # log-odds; who may be opened a fifth more or less than thought is worth a full share of trying


def doubts(
    variance: Floats,
    ridge: Floats,
    vocabulary: Vocabulary,
    before: Floats | float = 0.0,
    spread: float = 0.0,
) -> dict[str, float]:
    """Return how much of each material is still unknown and would matter, 0.1 to 1.

    It is the posterior variance over the prior one: what of its effect is unknown, by the examples and by the
    year before them. But where materials hardly differ, the prior is narrow, and little can be gained by
    trying any of them: then it is the posterior standard deviation over `MATTERS`.

    Args:
        variance: of each weight by the examples, (columns,).
        ridge: its prior's strength, (columns,).
        vocabulary: names of the columns.
        before: variance that pushes before the examples have left of each material's effect, (materials,).
        spread: what they have left of a new one's.
    """
    names, own = vocabulary["material_id"], material_columns(vocabulary)
    unknown = variance[own] + before
    whole = 1.0 / ridge[own] + spread
    share = np.clip(np.minimum(unknown / whole, np.sqrt(unknown) / MATTERS), LEAST_DOUBT, 1.0)
    return dict(zip(names, np.round(share, 4).tolist(), strict=True))


def material_columns(vocabulary: Vocabulary) -> Ints:
    """Return the places of the materials' own columns in a design, (materials,)."""
    place = {name: i for i, name in enumerate(columns(vocabulary))}
    return np.array([place[f"material_id={value}"] for value in vocabulary["material_id"]], np.int64)


def moved(line: Logistic, effects: Floats, vocabulary: Vocabulary) -> Logistic:
    """Return the line with the effects, (materials,), that it was fitted beside."""
    weights = line.weights.copy()
    weights[material_columns(vocabulary)] += effects
    return replace(line, weights=weights)

"""The line: finds what made the labels, keeps to the known part, and survives its file."""

import numpy as np
import pytest

from models import logistic
from models.calibration import sigmoid
from models.features import FEATURES, NAMES
from models.logistic import (
    LEAST_DOUBT,
    Logistic,
    Products,
    Seen,
    by_column,
    certainty,
    choose,
    columns,
    design,
    doubts,
    fit,
    moved,
    part_names,
)

VOCABULARY = {
    f.name: ["a", "b"] if f.name in ("gender", "category") else [] for f in FEATURES if f.kind == "category"
}
N = 6000


def examples(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = np.full((N, len(FEATURES)), np.nan, np.float32)
    for name in ("gender", "category"):
        matrix[:, NAMES.index(name)] = rng.integers(0, 2, N)
    matrix[:, NAMES.index("response")] = rng.normal(size=N)
    matrix[::7, NAMES.index("response")] = np.nan
    both = matrix[:, NAMES.index("gender")] == matrix[:, NAMES.index("category")]
    offset = rng.normal(size=N)
    z = -1.0 + 0.8 * np.nan_to_num(matrix[:, NAMES.index("response")]) + 1.0 * both + offset
    return matrix, (rng.random(N) < sigmoid(z)).astype(np.float64), offset


def test_numbers_crosses_and_the_known_part_are_found() -> None:
    matrix, label, offset = examples(1)
    line = fit(Seen.of(matrix, VOCABULARY), label, np.ones(N), offset, ridge=1.0)
    weight = dict(zip(columns(VOCABULARY), line.weights, strict=True))
    assert weight["response"] == pytest.approx(0.8, abs=0.15)
    same = weight["category=a x gender=a"] - weight["category=a x gender=b"]
    assert same == pytest.approx(1.0, abs=0.4)
    fresh, truth, known = examples(2)
    p = sigmoid(line.logit(fresh, VOCABULARY) + known)
    assert p.mean() == pytest.approx(truth.mean(), abs=0.03)


def test_a_line_survives_its_file_and_unknown_is_average() -> None:
    matrix, label, offset = examples(1)
    line = fit(Seen.of(matrix, VOCABULARY), label, np.ones(N), offset, ridge=10.0)
    again = Logistic.from_dict(line.as_dict())
    assert np.allclose(again.logit(matrix, VOCABULARY), line.logit(matrix, VOCABULARY), atol=1e-6)
    built = line.intercept + design(matrix, VOCABULARY, line.mean, line.scale) @ line.weights
    np.testing.assert_allclose(line.logit(matrix, VOCABULARY), built, atol=1e-12)
    nobody = np.full((1, len(FEATURES)), np.nan, np.float32)
    assert np.isfinite(line.logit(nobody, VOCABULARY)).all()
    assert design(matrix[:0], VOCABULARY, line.mean, line.scale).shape == (0, len(columns(VOCABULARY)))


def test_a_score_is_the_sum_of_its_parts() -> None:
    matrix, label, offset = examples(1)
    line = fit(
        Seen.of(matrix, VOCABULARY), label, np.ones(N), offset, ridge=np.full(len(columns(VOCABULARY)), 10.0)
    )
    parts, names = line.parts(matrix, VOCABULARY), part_names()
    assert parts.shape == (N, len(names))
    np.testing.assert_allclose(line.intercept + parts.sum(axis=1), line.logit(matrix, VOCABULARY), atol=1e-9)
    weight = dict(zip(columns(VOCABULARY), line.weights, strict=True))
    at = matrix[:, NAMES.index("category")] == 1
    assert set(parts[at, names.index("category")]) == {weight["category=b"]}


def test_families_without_effect_are_shrunk_most() -> None:
    matrix, label, offset = examples(1)
    line, strength = choose(Seen.of(matrix, VOCABULARY), VOCABULARY, label, np.ones(N), offset)
    assert strength["numbers of behaviour"] < 20 < 1000 < strength["numbers of user"]
    assert strength["category x gender"] < 100
    weight = dict(zip(columns(VOCABULARY), line.weights, strict=True))
    assert weight["response"] == pytest.approx(0.8, abs=0.15)
    noise = (np.random.default_rng(3).random(N) < 0.3).astype(np.float64)
    flat, strength = choose(Seen.of(matrix, VOCABULARY), VOCABULARY, noise, np.ones(N), 0 * offset)
    assert abs(flat.weights).max() < 0.1
    assert min(strength.values()) > 50
    assert by_column(strength, VOCABULARY).shape == (len(columns(VOCABULARY)),)


def test_doubt_falls_with_what_was_pushed() -> None:
    words = VOCABULARY | {"material_id": ["often", "seldom"]}
    matrix, label, offset = examples(1)
    matrix[:, NAMES.index("material_id")] = (np.arange(N) % 50 == 0).astype(np.float32)
    ridge = np.full(len(columns(words)), 30.0)
    seen = Seen.of(matrix, words)
    line = fit(seen, label, np.ones(N), offset, ridge=ridge)
    sure = certainty(line, seen, np.ones(N), offset, ridge)
    doubt = doubts(sure, ridge, words)
    assert doubt["often"] < 0.7 < doubt["seldom"] <= 1.0
    assert doubts(0 * sure, ridge, words) == {"often": LEAST_DOUBT, "seldom": LEAST_DOUBT}
    # Materials that are known to be alike are not worth trying, however few pushes each has had.
    alike = doubts(np.full(len(ridge), 1 / 1000), np.full(len(ridge), 1000.0), words)
    assert alike == {"often": pytest.approx(0.158, abs=1e-3), "seldom": pytest.approx(0.158, abs=1e-3)}
    # Where materials differ, one that a year has said nothing of is tried, and one that it knows is not.
    year = doubts(
        np.full(len(ridge), 1 / 1000), np.full(len(ridge), 1000.0), words, np.array([0, 0.04]), 0.04
    )
    assert year == {"often": LEAST_DOUBT, "seldom": 1.0}


def test_a_line_is_moved_by_what_it_was_fitted_beside() -> None:
    words = VOCABULARY | {"material_id": ["often", "seldom"]}
    matrix, label, offset = examples(1)
    matrix[:, NAMES.index("material_id")] = np.arange(N) % 2
    line = fit(Seen.of(matrix, words), label, np.ones(N), offset, ridge=30.0)
    more = moved(line, np.array([0.5, -0.25]), words).logit(matrix, words) - line.logit(matrix, words)
    assert more == pytest.approx(np.where(np.arange(N) % 2, -0.25, 0.5))


def test_products_in_blocks_are_those_of_the_whole_design(monkeypatch) -> None:
    matrix, _, _ = examples(1)
    monkeypatch.setattr(logistic, "BLOCK", 1000)
    x = Seen.of(matrix, VOCABULARY).x
    products, weight = Products(x), np.random.default_rng(5).random(N)
    assert len(products.full)
    assert len(products.rest)
    whole = x.toarray()
    np.testing.assert_allclose(products.weighted(weight), whole.T @ (weight[:, None] * whole), atol=1e-9)
    # All columns full, none full, and nobody at all.
    assert np.allclose(Products(x[:, products.full]).weighted(weight), products.weighted(weight)[
        np.ix_(products.full, products.full)])  # fmt: skip
    assert Products(x[:, products.rest]).weighted(weight).shape == (len(products.rest),) * 2
    assert not Products(x[:0]).weighted(weight[:0]).any()


def test_a_design_is_built_once_for_all_rounds(monkeypatch) -> None:
    matrix, label, offset = examples(1)
    built = []

    def counted(*given: object) -> object:
        built.append(len(given[0]))
        return design(*given)

    monkeypatch.setattr(logistic, "design", counted)
    seen = Seen.of(matrix, VOCABULARY)
    line, _ = choose(seen, VOCABULARY, label, np.ones(N), offset)
    assert built == [N]
    np.testing.assert_allclose(seen.logit(line), line.logit(matrix, VOCABULARY), atol=1e-12)

"""Draws: exact propensities, stability, ineligible materials."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from angelia.contracts.ids import uniform, user_keys
from angelia.matching import draw, inverse_gap

KEYS = user_keys(f"u{i}" for i in range(20_000))


def test_propensities_sum_to_one_and_skip_ineligible_materials():
    scores = np.array([[0.10, 0.12, np.nan], [np.nan, np.nan, np.nan], [0.05, np.nan, 0.05], [0.0, 0.0, 0.0]])
    probabilities = inverse_gap(scores, 0.1)
    assert np.allclose(probabilities.sum(axis=1), [1.0, 0.0, 1.0, 1.0])
    assert probabilities[0, 2] == 0.0
    assert np.isclose(probabilities[0, 0], 1 / (2 + 10 * (0.02 / 0.12)))  # k = 2, gamma = (2 - 1) / .1
    assert np.allclose(probabilities[2], [0.5, 0.0, 0.5])
    assert np.allclose(probabilities[3], 1 / 3)
    assert draw(probabilities[:3], np.array([0.999999, 0.5, 0.7])).tolist() == [1, -1, 2]
    assert inverse_gap(np.zeros((4, 0)), 0.1).shape == (4, 0)
    assert np.allclose(inverse_gap(scores[:1], 0.0), [[0.0, 1.0, 0.0]], atol=1e-6)


def test_what_is_known_is_tried_less():
    scores = np.array([[0.10, 0.08, 0.06]])
    unknown, known = inverse_gap(scores, 0.1), inverse_gap(scores, 0.1, np.array([0.1, 0.1, 1.0]))
    assert np.isclose(known[0, 1], 0.1 * unknown[0, 1])
    assert known[0, 2] == unknown[0, 2]
    assert np.isclose(known.sum(), 1.0)
    assert (known * scores).sum() > (unknown * scores).sum()
    assert np.allclose(inverse_gap(scores, 0.1, np.ones(3)), unknown)


def test_drawn_frequencies_equal_the_logged_propensity():
    scores = np.tile([0.02, 0.06, 0.04], (len(KEYS), 1))
    probabilities = inverse_gap(scores, 0.5)
    picked = draw(probabilities, uniform(KEYS, "salt", "campaign", "2026-11-15", "material"))
    shares = np.bincount(picked, minlength=3) / len(KEYS)
    assert np.allclose(shares, probabilities[0], atol=4 * np.sqrt(0.25 / len(KEYS)))


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12), st.floats(0.001, 1.0))
def test_exploring_never_costs_more_than_its_share(scores, loss):
    row = np.array([scores])
    probabilities = inverse_gap(row, loss)
    assert (probabilities * row).sum() >= (1 - loss) * row.max() - 1e-12
    assert probabilities.min() > 0
    assert probabilities[0, row.argmax()] >= probabilities.max() - 1e-12


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_a_draw_does_not_depend_on_who_else_is_in_the_shard(seed, n):
    keys = np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)
    whole = uniform(keys, "s", "c")
    assert np.array_equal(whole[n // 2 :], uniform(keys[n // 2 :], "s", "c"))

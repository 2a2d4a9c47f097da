"""Draws and assignments: exact propensities, stability, ineligible materials."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from angelia.contracts.ids import uniform, user_keys
from angelia.matching import assign_arms, buckets, draw, softmax_epsilon

KEYS = user_keys(f"u{i}" for i in range(20_000))


def test_propensities_sum_to_one_and_skip_ineligible_materials():
    scores = np.array([[0.10, 0.12, np.nan], [np.nan, np.nan, np.nan], [0.05, np.nan, 0.05]])
    probabilities = softmax_epsilon(scores, temperature=0.02, epsilon=0.1)
    assert np.allclose(probabilities.sum(axis=1), [1.0, 0.0, 1.0])
    assert probabilities[0, 2] == 0.0
    assert probabilities[0, 1] > probabilities[0, 0] >= 0.05
    assert np.allclose(probabilities[2], [0.5, 0.0, 0.5])
    assert draw(probabilities, np.array([0.999999, 0.5, 0.7])).tolist() == [1, -1, 2]


def test_drawn_frequencies_equal_the_logged_propensity():
    scores = np.tile([0.02, 0.06, 0.04], (len(KEYS), 1))
    probabilities = softmax_epsilon(scores, temperature=0.02, epsilon=0.1)
    picked = draw(probabilities, uniform(KEYS, "salt", "campaign", "2026-11-15", "material"))
    shares = np.bincount(picked, minlength=3) / len(KEYS)
    assert np.allclose(shares, probabilities[0], atol=4 * np.sqrt(0.25 / len(KEYS)))


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_a_draw_does_not_depend_on_who_else_is_in_the_shard(seed, n):
    keys = np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)
    whole = uniform(keys, "s", "c")
    assert np.array_equal(whole[n // 2 :], uniform(keys[n // 2 :], "s", "c"))


def test_growing_the_last_arm_moves_nobody_between_the_others():
    before = assign_arms(KEYS, "copy", [40, 40, 20])
    after = assign_arms(KEYS, "copy", [40, 40, 10])
    assert np.array_equal(before[before < 2], after[before < 2])
    assert abs((before == 0).mean() - 0.4) < 0.02
    assert abs(np.corrcoef(buckets(KEYS, "a"), buckets(KEYS, "b"))[0, 1]) < 0.03  # salts are independent

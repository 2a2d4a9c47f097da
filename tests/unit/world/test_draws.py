"""Draws have their distributions, and depend on their key and salts alone."""

from __future__ import annotations

import numpy as np

from angelia.world import draws


def test_draws_have_their_distributions() -> None:
    keys = draws.user_keys(np.arange(40_000), 1)
    normal = draws.normal(keys, "test")
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.02
    counts = draws.poisson(draws.uniform(keys, "p"), np.full(40_000, 2.5))
    assert abs(counts.mean() - 2.5) < 0.05
    assert abs(counts.var() - 2.5) < 0.1
    assert abs(draws.geometric(draws.uniform(keys, "g"), 1.5, 50).mean() - 1.5) < 0.05
    picked = (
        np.bincount(draws.pick(draws.uniform(keys, "c"), np.array([1.0, 0.0, 3.0])), minlength=3) / 40_000
    )
    assert np.allclose(picked, [0.25, 0, 0.75], atol=0.01)


def test_a_draw_depends_on_its_key_salts_and_counter_alone() -> None:
    keys = draws.user_keys(np.arange(100), 1)
    assert np.array_equal(draws.uniform(keys, "a")[40:], draws.uniform(keys[40:], "a"))
    assert not np.array_equal(draws.uniform(keys, "a"), draws.uniform(keys, "b"))
    assert not np.array_equal(keys, draws.user_keys(np.arange(100), 2))
    assert np.array_equal(draws.counted(keys, 0), keys)
    assert len(np.unique(draws.counted(keys[0], np.arange(1_000)))) == 1_000


def test_draws_stay_within_their_bounds() -> None:
    last = np.array([0.0, np.nextafter(1.0, 0.0)])
    assert draws.pick(last, np.array([0.0, 1.0, 1.0, 0.0])).tolist() == [1, 2]
    assert draws.poisson(last, np.array([1.0, 40.0])).max() <= 60
    assert draws.geometric(last, 3.0, 7).tolist() == [0, 7]
    drawn = draws.between(draws.user_keys(np.arange(1_000), 1), -2.0, 3.0, "s")
    assert -2.0 <= drawn.min() < -1.9
    assert 2.9 < drawn.max() < 3.0

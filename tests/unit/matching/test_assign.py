"""Arms and holdouts by salted buckets: shares as declared, stable, independent by salt."""

from __future__ import annotations

import numpy as np

from angelia.contracts.ids import user_keys
from angelia.matching import assign_arms, buckets

KEYS = user_keys(f"u{i}" for i in range(20_000))


def test_growing_the_last_arm_moves_nobody_between_the_others() -> None:
    before = assign_arms(KEYS, "copy", [40, 40, 20])
    after = assign_arms(KEYS, "copy", [40, 40, 10])
    assert np.array_equal(before[before < 2], after[before < 2])
    assert abs((before == 0).mean() - 0.4) < 0.02
    assert abs(np.corrcoef(buckets(KEYS, "a"), buckets(KEYS, "b"))[0, 1]) < 0.03  # salts are independent


def test_shares_that_do_not_reach_a_hundred_leave_nobody_out() -> None:
    arms = assign_arms(KEYS, "copy", [33.3, 33.3, 33.3])
    assert set(arms.tolist()) == {0, 1, 2}
    assert assign_arms(KEYS, "copy", [100.0]).max() == 0


def test_a_share_of_nought_gets_nobody() -> None:
    assert 1 not in assign_arms(KEYS, "copy", [50, 0, 50])
    assert buckets(KEYS, "a").min() >= 0
    assert buckets(KEYS, "a").max() < 100

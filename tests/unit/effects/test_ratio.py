"""The sides' sizes: an alarm where they are wrong, none for looking often."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.effects.ratio import ALARM, mismatch_p


def test_sides_as_configured_raise_no_alarm() -> None:
    assert mismatch_p(1_000, 9_000, 0.10) == 1.0


@pytest.mark.parametrize("n_holdout", [850, 1_160])
def test_a_side_that_is_too_small_or_large_raises_it(n_holdout: int) -> None:
    assert mismatch_p(n_holdout, 10_000 - n_holdout, 0.10) < ALARM


@pytest.mark.parametrize(
    ("sides", "share", "p"), [((0, 5), 0.0, 1.0), ((1, 5), 0.0, 0.0), ((5, 1), 1.0, 0.0)]
)
def test_a_share_of_none_or_all_is_exact(sides: tuple[int, int], share: float, p: float) -> None:
    assert mismatch_p(*sides, share) == p


def test_a_look_after_every_hundred_people_seldom_alarms() -> None:
    held = np.random.default_rng(8).binomial(100, 0.1, (500, 60)).cumsum(axis=1)
    least = [min(mismatch_p(int(h), 100 * (k + 1) - int(h), 0.1) for k, h in enumerate(row)) for row in held]
    assert np.mean(np.array(least) < 0.05) <= 0.05

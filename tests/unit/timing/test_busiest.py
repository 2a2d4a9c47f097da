"""What a busiest hour is worth is told by curves, and by kind of day."""

from __future__ import annotations

import numpy as np
import pytest

from angelia.timing.busiest import busiest_meta, busiest_of, busiest_sums

AWAKE = np.isin(np.arange(24), [10, 11])
CURVE = np.ones((3, 48))
CURVE[:, 10], CURVE[:, 11] = 1.5, 0.5  # workdays
CURVE[:, 34], CURVE[:, 35] = 1.2, 0.8  # days off
CURVE[:, 3] = 9.0  # nobody may be written to at night


def active(cells: dict[int, float]) -> np.ndarray:
    row = np.zeros(48)
    row[list(cells)] = list(cells.values())
    return row


def test_the_busiest_hour_counts_by_the_curve() -> None:
    # The first is most active in the better hour, the second in the worse one, the third only asleep.
    activity = np.array([active({10: 2, 11: 1, 35: 1}), active({10: 1, 11: 2}), active({3: 5})])
    sums = busiest_sums(activity, CURVE, AWAKE)
    assert sums == pytest.approx(np.array([[3.0, 3.0, 4.5], [3.0, 2.8, 3.6]]), abs=1e-5)
    assert busiest_sums(activity[:1], CURVE[:1], AWAKE)[0].tolist() == [1.0, 1.5, 1.5]


def test_the_share_is_over_all_shards() -> None:
    shards = [[[2.0, 3.0, 4.0], [1.0, 0.9, 1.5]], [[2.0, 2.0, 4.0], [1.0, 1.0, 1.5]]]
    assert busiest_meta(shards) == {"busiest": [0.25, 0.0]}
    assert busiest_of({"busiest": [0.25, 0.0]}) == (0.25, 0.0)


def test_curves_that_say_nothing_of_it_are_as_random() -> None:
    assert busiest_of({}) == (0.0, 0.0)
    assert busiest_meta([]) == {"busiest": [0.0, 0.0]}
    flat = busiest_sums(np.ones((2, 48)), np.ones((2, 48)), AWAKE)
    assert busiest_meta([flat.tolist()]) == {"busiest": [0.0, 0.0]}, "no hour is better than another"
    nobody = np.zeros((0, 48))
    assert (busiest_sums(nobody, nobody, AWAKE) == 0).all()
    assert (busiest_sums(np.ones((2, 48)), np.ones((2, 48)), np.zeros(24, bool)) == 0).all()

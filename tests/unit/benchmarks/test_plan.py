"""The plan benchmark's night is the same in any shards, and HiGHS bounds its plan."""

from __future__ import annotations

import numpy as np

from benchmarks import plan
from benchmarks.nights.plan_night import NightOf


def test_people_are_drawn_alike_in_any_shard() -> None:
    night = NightOf(400, campaigns=6)
    whole, part = night.problem(0, 400), night.problem(150, 50)
    rows = (whole.pair_user >= 150) & (whole.pair_user < 200)
    assert np.array_equal(whole.value[rows], part.value)
    assert np.array_equal(whole.tie[rows], part.tie)


def test_a_small_night_lies_near_its_optimum() -> None:
    figures = plan.true_gap(NightOf(300, campaigns=8))
    assert 0 <= figures["true_gap_pct"] <= figures["claimed_gap_pct"] < 3

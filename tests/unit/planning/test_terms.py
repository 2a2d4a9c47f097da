"""What a night's terms leave for the priced part of the plan, and what they set aside for exploration."""

from dataclasses import replace

import numpy as np

from angelia.planning.terms import NO_BUDGET
from tests.unit.planning.few_people import CAMPAIGN, ORDER, TERMS

NIGHT = replace(TERMS, explore_pct=10.0, first_slot=2, campaigns=(replace(CAMPAIGN, max_messages=500), ORDER))


def test_exploration_has_its_share_of_every_hour_and_budget():
    limits = NIGHT.limits()
    assert limits.capacity.tolist() == [[0] * 2 + [900] * 22]
    assert limits.budget.tolist() == [450, NO_BUDGET]
    assert NIGHT.explore_limits().tolist() == [0] * 2 + [100] * 22 + [50, NO_BUDGET]


def test_both_shares_are_the_whole():
    odd = replace(NIGHT, explore_pct=7.3)
    whole = np.array([0] * 2 + [1000] * 22 + [500])
    assert (odd.limits().flat()[:-1] + odd.explore_limits()[:-1] == whole).all()


def test_without_exploration_all_is_priced():
    plain = replace(NIGHT, explore_pct=0.0)
    assert plain.limits().capacity.max() == 1000
    assert plain.explore_limits()[:-1].max() == 0

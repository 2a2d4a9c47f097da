"""What a message pays, and the best channel where channels make different things of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.planning import Limits, Problem, best_sets, dual_value
from angelia.planning.choose import pack
from angelia.planning.problem import ONE, boosted
from angelia.planning.routes.fees import fees
from tests.unit.planning.small_problems import make_limits, random_problem


def best_value(problem: Problem, limits: Limits, prices: np.ndarray, user: int) -> int:
    """Return the worth of a person's best set by trying every one."""
    c, h = limits.capacity.shape
    options = []
    for row in np.flatnonzero(problem.pair_user == user).tolist():
        campaign = problem.pair_campaign[row]
        for slot, ch in itertools.product(range(h), range(c)):
            if problem.allowed[row, slot] and problem.channels[row, ch] and problem.room[user, slot] >= 1:
                made = int(boosted(problem.value[row, slot], limits.boost[campaign, ch]))
                paid = limits.cost[ch] + prices[ch * h + slot] + prices[c * h + campaign]
                options.append((row, slot, made - int(paid)))
    best = max([0, *(value for _, _, value in options)])
    for (r1, s1, v1), (r2, s2, v2) in itertools.permutations(options, 2):
        fits = r1 != r2 and s2 - s1 >= limits.gap_slots and problem.room[user, s2] >= 2
        if fits and v1 > 0 and v2 > 0:
            best = max(best, v1 + v2)
    return best


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(2, 3), st.booleans())
def test_boosted_sets_are_the_best_there_are(seed, n_campaigns, n_channels, is_exempt):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n_campaigns=n_campaigns, n_slots=4, n_channels=n_channels)
    limits = make_limits(rng, 2, 3, n_slots=4, n_channels=n_channels, n_campaigns=n_campaigns)
    boost = rng.choice([ONE // 2, ONE, 3 * ONE], (n_campaigns, n_channels))
    limits = replace(limits, boost=boost, cost=limits.cost * 4)
    if is_exempt:
        # Each pair by itself: one campaign only, without caps.
        mine = problem.pair_campaign == 0
        problem = replace(problem, is_exempt=mine)
    prices = rng.integers(0, 300, limits.n_constraints)
    choice = best_sets(problem, limits, prices)
    marketing = replace(problem, allowed=problem.allowed & ~problem.is_exempt[:, None])
    total = sum(best_value(marketing, limits, prices, user) for user in range(problem.n_users))
    for row in np.flatnonzero(problem.is_exempt).tolist():
        users = np.where(np.arange(problem.n_pairs) == row, 0, 1)
        alone = replace(problem, pair_user=users, room=np.ones_like(problem.room))
        total += best_value(alone, limits, prices, 0)
    assert dual_value(problem, limits, prices, choice) == total


def one_person(value: int) -> Problem:
    return Problem(
        n_users=1, pair_user=np.zeros(1, np.int64), pair_campaign=np.zeros(1, np.int64),
        value=np.array([[value]]), allowed=np.ones((1, 1), bool), channels=np.ones((1, 2), bool),
        is_exempt=np.zeros(1, bool), is_explore=np.zeros(1, bool), room=np.ones((1, 1), np.int16),
        tie=np.zeros(1, np.uint64),
    )  # fmt: skip


LIMITS = Limits(
    np.full((2, 1), 9), np.full(1, 9), np.array([0, 400]), 1, 1, boost=np.array([[ONE // 2, 2 * ONE]])
)


@pytest.mark.parametrize(
    ("value", "channel", "bid"),
    [
        (1000, 1, 1600),
        (268, 1, 136),
        (266, 0, 133),  # twice as good for 400 is not worth it to who opens little
    ],
)
def test_the_dear_channel_is_for_who_values_it(value, channel, bid):
    choice = best_sets(one_person(value), LIMITS, np.zeros(3, np.int64))
    assert (choice.channel.tolist(), choice.bid.tolist()) == ([channel], [bid])


def test_a_price_moves_it_to_the_next_channel():
    choice = best_sets(one_person(1000), LIMITS, np.array([0, 1200, 0]))
    assert (choice.channel.tolist(), choice.bid.tolist()) == ([0], [500])


def test_without_a_boost_there_is_one_layer():
    limits = replace(LIMITS, boost=np.zeros(0, np.int64))
    packed = pack(one_person(1000), limits)
    (layer,) = fees(packed.patterns, packed.bits, limits, np.zeros(3, np.int64)).layers
    assert (layer.factor, layer.fee.tolist(), layer.by.tolist()) == (ONE, [[0]], [[0]])

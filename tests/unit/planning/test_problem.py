"""Constraints in one vector: channel hours, campaigns, hours of speed limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from angelia.planning.problem import Choice, Limits, count_of, of_each
from tests.unit.planning.small_problems import random_problem

# Two channels, three hours, three campaigns, of which the second has a speed limit.
LIMITS = Limits(
    capacity=np.array([[1, 2, 3], [4, 5, 6]]),
    budget=np.array([7, 8, 9]),
    cost=np.zeros(2, np.int64),
    gap_slots=1,
    max_messages=2,
    paced=np.array([1]),
    pace=np.array([[10, 11, 12]]),
)


def test_limits_are_one_vector_in_the_stated_order() -> None:
    assert LIMITS.n_constraints == 12
    assert LIMITS.n_slots == 3
    assert LIMITS.flat().tolist() == list(range(1, 13))


def test_a_minimum_stands_at_its_campaign_alone() -> None:
    assert not LIMITS.floor().any()
    floor = replace(LIMITS, least=np.array([0, 2, 0])).floor()
    assert np.flatnonzero(floor).tolist() == [7]
    assert floor[7] == 2


def test_limits_are_worth_their_prices_and_a_minimum_costs() -> None:
    prices = np.zeros(12, np.int64)
    prices[[5, 7]] = [10, -3]
    assert LIMITS.worth_of(prices) == 10 * 6
    assert replace(LIMITS, least=np.array([0, 2, 0])).worth_of(prices) == 10 * 6 - 3 * 2


def test_a_message_uses_its_hour_its_campaign_and_its_speed() -> None:
    problem = random_problem(1, n_users=2, n_slots=3)
    problem = replace(problem, pair_campaign=np.arange(problem.n_pairs) % 3)
    choice = Choice.none(problem.n_pairs)
    choice.slot[:3], choice.channel[:3] = [2, 1, 0], [0, 1, 1]
    used = problem.constraints(choice, np.arange(3), LIMITS)
    assert used.T.tolist() == [[2, 6, -1], [4, 7, 10], [3, 8, -1]]
    assert count_of(used, LIMITS).tolist() == [0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0]
    assert of_each(used, LIMITS.flat(), -5)[2].tolist() == [-5, 11, -5]


def test_what_explores_does_not_compete() -> None:
    problem = random_problem(1)
    choice = Choice.none(problem.n_pairs)
    choice.slot[[0, 1]] = 2
    drawn = np.zeros(problem.n_pairs, bool)
    drawn[0] = True
    assert replace(problem, is_explore=drawn).priced(choice).tolist() == [1]


def test_a_choice_is_kept_in_part() -> None:
    choice = Choice(np.array([3, 4]), np.array([0, 1]), np.array([50, 60]))
    kept = choice.where(np.array([False, True]))
    assert (kept.slot.tolist(), kept.channel.tolist(), kept.bid.tolist()) == ([-1, 4], [-1, 1], [0, 60])

"""Each person's best set of messages at given prices, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.planning import Choice, Limits, Problem, best_sets, dual_value
from tests.unit.planning.small_problems import make_limits, random_problem


def brute_force(problem: Problem, limits: Limits, prices: np.ndarray, user: int) -> int:
    c, h = limits.capacity.shape
    options = [
        (
            row,
            slot,
            int(
                problem.value[row, slot]
                - limits.cost[ch]
                - prices[ch * h + slot]
                - prices[c * h + problem.pair_campaign[row]]
            ),
        )
        for row in np.flatnonzero(problem.pair_user == user)
        for slot in range(h)
        for ch in range(c)
        if problem.allowed[row, slot] and problem.channels[row, ch]
    ]
    best = max([0, *(v for _, s, v in options if problem.room[user, s] >= 1)])
    for (r1, s1, v1), (r2, s2, v2) in itertools.permutations(options, 2):
        fits = (
            r1 != r2
            and s2 - s1 >= limits.gap_slots
            and problem.room[user, s1] >= 1
            and problem.room[user, s2] >= 2
        )
        if fits and v1 > 0 and v2 > 0:
            best = max(best, v1 + v2)
    return best


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(3, 8))
def test_every_users_set_is_the_best_there_is(seed, n_campaigns, n_slots):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n_campaigns=n_campaigns, n_slots=n_slots)
    limits = make_limits(rng, 2, 3, n_slots=n_slots, n_campaigns=n_campaigns)
    prices = rng.integers(0, 300, limits.n_constraints)
    choice = best_sets(problem, limits, prices)
    total = 0
    for user in range(problem.n_users):
        total += brute_force(problem, limits, prices, user)
        slots = np.sort(choice.slot[(problem.pair_user == user) & (choice.slot >= 0)])
        assert len(slots) <= 2
        assert len(slots) < 2 or slots[1] - slots[0] >= limits.gap_slots
    assert dual_value(problem, limits, prices, choice) == total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(3, 8))
def test_the_message_beside_a_held_one_is_the_best(seed, n_campaigns, n_slots):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n_campaigns=n_campaigns, n_slots=n_slots)
    limits = make_limits(rng, 2, 3, n_slots=n_slots, n_campaigns=n_campaigns)
    prices, (c, h) = rng.integers(0, 300, limits.n_constraints), limits.capacity.shape
    held = Choice.none(problem.n_pairs)
    for user in range(problem.n_users):
        rows = np.flatnonzero(problem.pair_user == user)
        if len(rows):
            row = rng.choice(rows)
            held.slot[row], held.channel[row], held.bid[row] = rng.integers(h), 0, 500
    choice = best_sets(problem, limits, prices, held=held)
    for user in range(problem.n_users):
        mine = np.flatnonzero(problem.pair_user == user)
        (at,) = held.slot[mine][held.slot[mine] >= 0].tolist() or (0,)
        best, room = 0, problem.room[user]
        for row, slot, ch in itertools.product(mine.tolist(), range(h), range(c)):
            fits = problem.allowed[row, slot] and problem.channels[row, ch] and held.slot[row] < 0
            if fits and abs(slot - at) >= limits.gap_slots and room[max(slot, at)] >= 2 and room[slot] >= 1:
                worth = problem.value[row, slot] - limits.cost[ch] - prices[ch * h + slot]
                best = max(best, int(worth - prices[c * h + problem.pair_campaign[row]]))
        more = mine[(choice.slot[mine] >= 0) & (held.slot[mine] < 0)]
        used = problem.constraints(choice, more, limits)[:2]
        assert len(more) <= 1
        assert int(choice.bid[more].sum() - prices[used].sum()) == best


@pytest.mark.parametrize("max_messages", [1, 2])
def test_at_most_so_many_messages(max_messages):
    problem = random_problem(5, n_users=200)
    problem = Problem(**{**problem.__dict__, "room": np.full_like(problem.room, 9)})
    limits = Limits(np.full((2, 6), 999), np.full(3, 999), np.zeros(2, np.int64), 1, max_messages)
    choice = best_sets(problem, limits, np.zeros(limits.n_constraints, np.int64))
    assert np.bincount(problem.pair_user[choice.slot >= 0]).max() == max_messages
    assert (choice.bid[choice.slot >= 0] > 0).all()

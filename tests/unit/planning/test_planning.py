"""The joint decision against brute force: exact per-user sets, limits never exceeded, the dual bounds the
primal, shards do not matter.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.planning import (
    MAX_ROUNDS,
    Choice,
    Limits,
    Problem,
    Round,
    best_sets,
    bid_histogram,
    decide,
    dual_value,
    final,
    fit_prices,
    is_settled,
    next_round,
    usage,
)
from angelia.planning.problem import NEVER


def random_problem(
    seed: int, n_users: int = 6, n_campaigns: int = 3, n_slots: int = 6, n_channels: int = 2
) -> Problem:
    rng = np.random.default_rng(seed)
    member = rng.random((n_users, n_campaigns)) < 0.8
    user, campaign = np.nonzero(member)
    m = len(user)
    return Problem(
        n_users=n_users,
        pair_user=user.astype(np.int64),
        pair_campaign=campaign.astype(np.int64),
        value=rng.integers(0, 1000, (m, n_slots)),
        allowed=rng.random((m, n_slots)) < 0.7,
        channels=rng.random((m, n_channels)) < 0.8,
        is_exempt=np.zeros(m, bool),
        is_explore=np.zeros(m, bool),
        room=rng.integers(0, 3, (n_users, n_slots)).astype(np.int16),
        tie=rng.integers(0, 2**64, m, dtype=np.uint64),
    )


def make_limits(
    rng: np.random.Generator,
    capacity: int,
    budget: int,
    n_slots: int = 6,
    n_channels: int = 2,
    n_campaigns: int = 3,
) -> Limits:
    return Limits(
        capacity=np.full((n_channels, n_slots), capacity, np.int64),
        budget=np.full(n_campaigns, budget, np.int64),
        cost=rng.integers(0, 50, n_channels),
        gap_slots=int(rng.integers(1, 4)),
        max_messages=2,
    )


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
@given(st.integers(0, 2**31))
def test_every_users_set_is_the_best_there_is(seed):
    rng = np.random.default_rng(seed)
    problem, limits = random_problem(seed), make_limits(rng, 2, 3)
    prices = rng.integers(0, 300, limits.n_constraints)
    choice = best_sets(problem, limits, prices)
    total = 0
    for user in range(problem.n_users):
        total += brute_force(problem, limits, prices, user)
        slots = np.sort(choice.slot[(problem.pair_user == user) & (choice.slot >= 0)])
        assert len(slots) <= 2
        assert len(slots) < 2 or slots[1] - slots[0] >= limits.gap_slots
    assert dual_value(problem, limits, prices, choice) == total


def run_rounds(
    parts: list[Problem], limits: Limits, prices: np.ndarray
) -> tuple[list[Choice], list[Round], np.ndarray]:
    rounds: list[Round] = []
    for _ in range(MAX_ROUNDS):
        choices = [decide(part, limits, prices, Choice.none(part.n_pairs), rounds)[0] for part in parts]
        used = sum(usage(part, limits, choice) for part, choice in zip(parts, choices, strict=True))
        over = np.flatnonzero(used > limits.flat())
        if is_settled(limits, used, prices):
            break
        rounds.append(
            next_round(
                limits,
                used,
                [
                    bid_histogram(part, limits, choice, over.tolist())
                    for part, choice in zip(parts, choices, strict=True)
                ],
            )
        )
    decided = [final(part, limits, prices, Choice.none(part.n_pairs), rounds)[0] for part in parts]
    return (
        decided,
        rounds,
        sum(usage(part, limits, choice) for part, choice in zip(parts, decided, strict=True)),
    )


def split(problem: Problem, at: int) -> list[Problem]:
    parts = []
    for low, high in ((0, at), (at, problem.n_users)):
        rows = (problem.pair_user >= low) & (problem.pair_user < high)
        parts.append(
            Problem(
                high - low,
                problem.pair_user[rows] - low,
                problem.pair_campaign[rows],
                problem.value[rows],
                problem.allowed[rows],
                problem.channels[rows],
                problem.is_exempt[rows],
                problem.is_explore[rows],
                problem.room[low:high],
                problem.tie[rows],
            )
        )
    return parts


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(2, 30))
def test_limits_hold_the_bound_holds_and_shards_do_not_matter(seed, capacity, budget):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n_users=60)
    limits = make_limits(rng, capacity, budget)
    prices = fit_prices(problem, limits, 1.0, rounds=30)
    whole, rounds, used = run_rounds([problem], limits, prices)
    assert (used <= limits.flat()).all()
    primal = int(whole[0].bid[whole[0].slot >= 0].sum())
    free = best_sets(problem, limits, prices)
    bound = dual_value(problem, limits, prices, free) + int((prices * limits.flat()).sum())
    assert primal <= bound
    halves, rounds_of_halves, _ = run_rounds(split(problem, 23), limits, prices)
    assert rounds == rounds_of_halves
    assert np.array_equal(np.concatenate([c.slot for c in halves]), whole[0].slot)


def test_scarce_hours_get_a_price_and_the_gap_is_small():
    rng = np.random.default_rng(3)
    problem = random_problem(3, n_users=2000)
    peak = problem.value.copy()
    peak[:, 4] += 800  # everybody's best hour
    problem = Problem(**{**problem.__dict__, "value": peak})
    limits = make_limits(rng, 150, 2**40)
    prices = fit_prices(problem, limits, 1.0)
    decided, _, used = run_rounds([problem], limits, prices)
    assert prices[4] > 0
    assert (used <= limits.flat()).all()
    primal = int(decided[0].bid[decided[0].slot >= 0].sum())
    bound = dual_value(problem, limits, prices, best_sets(problem, limits, prices)) + int(
        (prices * limits.flat()).sum()
    )
    assert 0 <= (bound - primal) / bound < 0.03


def test_nothing_scarce_means_no_price():
    problem = random_problem(1)
    limits = make_limits(np.random.default_rng(1), 10_000, 2**40)
    assert not fit_prices(problem, limits, 1.0).any()


@pytest.mark.parametrize("max_messages", [1, 2])
def test_at_most_so_many_messages(max_messages):
    problem = random_problem(5, n_users=200)
    problem = Problem(**{**problem.__dict__, "room": np.full_like(problem.room, 9)})
    limits = Limits(np.full((2, 6), 999), np.full(3, 999), np.zeros(2, np.int64), 1, max_messages)
    choice = best_sets(problem, limits, np.zeros(limits.n_constraints, np.int64))
    assert np.bincount(problem.pair_user[choice.slot >= 0]).max() == max_messages
    assert (choice.bid[choice.slot >= 0] > NEVER).all()

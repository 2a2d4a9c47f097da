"""Prices and the joint decision against HiGHS: feasible, within the claimed gap."""

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from angelia.planning import (
    InMemory,
    Limits,
    Problem,
    ShardRounds,
    best_sets,
    dual_value,
    fit_prices,
    solve,
    solve_here,
    usage,
)
from tests.unit.planning.small_problems import make_limits, random_problem


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


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(2, 30))
def test_limits_and_bound_hold_and_shards_do_not_matter(seed, capacity, budget):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n_users=60)
    limits = make_limits(rng, capacity, budget)
    solved, whole = solve_here(problem, limits)
    assert (solved.used <= limits.flat()).all()
    assert (solved.used == usage(problem, limits, whole)).all()
    assert whole.bid[whole.slot >= 0].sum() <= solved.bound
    run = InMemory([ShardRounds.of(part, limits) for part in split(problem, 23)])
    halves = solve(run, limits, problem, 1.0)
    assert halves.rounds == solved.rounds
    assert (halves.bound, halves.prices.tolist()) == (solved.bound, solved.prices.tolist())
    assert np.array_equal(np.concatenate([night.held.slot for night in run.nights]), whole.slot)


def by_highs(problem: Problem, limits: Limits) -> int:
    """Return the optimum, message by message, by a program that knows no sets or prices."""
    c, h = limits.capacity.shape
    options = [
        (row, slot, ch)
        for row in range(problem.n_pairs)
        for slot in range(h)
        for ch in range(c)
        if problem.allowed[row, slot] and problem.channels[row, ch]
        if problem.is_exempt[row] or problem.room[problem.pair_user[row], slot] >= 1
    ]
    if not options:
        return 0
    worth = np.array([problem.value[row, slot] - limits.cost[ch] for row, slot, ch in options])
    rows: list[list[int]] = []
    most: list[int] = []
    for each in range(c * h):
        rows.append([i for i, (_, slot, ch) in enumerate(options) if ch * h + slot == each])
        most.append(int(limits.capacity.ravel()[each]))
    for each in range(len(limits.budget)):
        rows.append([i for i, (row, *_) in enumerate(options) if problem.pair_campaign[row] == each])
        most.append(int(limits.budget[each]))
    for place, each in enumerate(limits.paced):
        for slot in range(h):
            rows.append([i for i, (row, s, _) in enumerate(options)
                         if problem.pair_campaign[row] == each and s == slot])  # fmt: skip
            most.append(int(limits.pace[place, slot]))
    for row in range(problem.n_pairs):
        rows.append([i for i, (other, *_) in enumerate(options) if other == row])
        most.append(1)
    for user in range(problem.n_users):
        mine = [i for i, (row, *_) in enumerate(options)
                if problem.pair_user[row] == user and not problem.is_exempt[row]]  # fmt: skip
        rows.append(mine)
        most.append(limits.max_messages)
        for i, j in itertools.combinations(mine, 2):
            earlier, later = sorted((options[i][1], options[j][1]))
            if later - earlier < limits.gap_slots or problem.room[user, later] < 2:
                rows.append([i, j])
                most.append(1)
    fewest = np.full(len(rows), -np.inf)
    fewest[c * h : c * h + len(limits.least)] = limits.least
    entries = [(r, i) for r, group in enumerate(rows) for i in group]
    matrix = sparse.csr_matrix((np.ones(len(entries)), np.array(entries).T), (len(rows), len(options)))
    done = milp(
        -worth.astype(float),
        integrality=np.ones(len(options)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, fewest, np.array(most)),
        options={"mip_rel_gap": 0},
    )
    return round(-done.fun)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 8), st.booleans(), st.booleans())
def test_the_optimum_by_highs_lies_between_plan_and_bound(seed, capacity, budget, has_exempt, has_more):
    """With or without transactional messages; with or without minimums and speed limits."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, n_users=8, n_campaigns=4, n_slots=8)
    if has_exempt:
        problem = Problem(**{**problem.__dict__, "is_exempt": problem.pair_campaign == 0})
    limits = make_limits(rng, capacity, budget, n_slots=8, n_campaigns=4)
    if has_more:
        least = np.minimum(rng.integers(0, 4, 4), limits.budget)
        limits = replace(limits, least=least, paced=np.array([1, 3]), pace=rng.integers(0, 3, (2, 8)))
    solved, choice = solve_here(problem, limits)
    used = usage(problem, limits, choice)
    assert (used <= limits.flat()).all()
    if has_more:  # the bound is that of the minimums reached
        limits = replace(limits, least=np.minimum(limits.least, used[16:20]))
    value, optimum = int(choice.bid[choice.slot >= 0].sum()), by_highs(problem, limits)
    assert value <= optimum <= solved.bound


def test_a_minimum_is_reached_where_people_allow():
    """Nobody would get the third campaign by worth alone; its minimum is paid for."""
    problem = random_problem(4, n_users=400)
    cheap = np.where(problem.pair_campaign[:, None] == 2, 1, problem.value)
    problem = Problem(**{**problem.__dict__, "value": cheap})
    free = make_limits(np.random.default_rng(4), 60, 2**40)
    limits = replace(free, least=np.array([0, 0, 80]))
    without, _ = solve_here(problem, free)
    solved, choice = solve_here(problem, limits)
    number = limits.capacity.size + 2
    assert without.used[number] < 40
    assert solved.used[number] >= 80
    assert solved.prices[number] < 0
    value = int(choice.bid[choice.slot >= 0].sum())
    assert value <= solved.bound < without.bound
    assert (solved.bound - value) / solved.bound < 0.02


def test_a_speed_limit_holds_in_each_hour():
    problem = crowd(600)
    free = make_limits(np.random.default_rng(3), 600, 2**40)
    limits = replace(free, paced=np.array([1]), pace=np.full((1, 6), 20))
    solved, choice = solve_here(problem, limits)
    own = (problem.pair_campaign == 1) & (choice.slot >= 0)
    assert np.bincount(choice.slot[own], minlength=6).max() == 20
    assert solved.prices[-6:].max() > 0
    value = int(choice.bid[choice.slot >= 0].sum())
    assert (solved.bound - value) / solved.bound < 0.01


def crowd(n_users: int = 2000) -> Problem:
    """Return people who all like the fifth hour most."""
    problem = random_problem(3, n_users=n_users)
    peak = problem.value.copy()
    peak[:, 4] += 800
    return Problem(**{**problem.__dict__, "value": peak})


def test_scarce_hours_get_a_price_and_the_gap_is_small():
    limits = make_limits(np.random.default_rng(3), 150, 2**40)
    solved, choice = solve_here(crowd(), limits)
    assert solved.prices[4] > 0
    primal = int(choice.bid[choice.slot >= 0].sum())
    assert 0 <= (solved.bound - primal) / solved.bound < 0.003


def test_a_sample_and_corrections_come_near_the_whole():
    problem, limits = crowd(4000), make_limits(np.random.default_rng(3), 300, 2**40)
    run = InMemory([ShardRounds.of(problem, limits)])
    solved = solve(run, limits, split(problem, 400)[0], 10.0)
    held = run.nights[0].held
    assert (solved.bound - held.bid[held.slot >= 0].sum()) / solved.bound < 0.01


def test_a_crowd_that_two_channels_serve_alike_is_split():
    """Each channel takes half the people; one price for all would send all to one."""
    problem = random_problem(5, n_users=400, n_campaigns=1)
    everyone = Problem(**{**problem.__dict__, "channels": np.ones_like(problem.channels)})
    limits = Limits(np.full((2, 6), 20), np.array([2**40]), np.zeros(2, np.int64), 2, 2)
    solved, choice = solve_here(everyone, limits)
    primal = int(choice.bid[choice.slot >= 0].sum())
    assert (solved.bound - primal) / solved.bound < 0.01
    assert (solved.used[:12] == 20).sum() >= 10


def test_yesterdays_prices_are_a_start_and_change_little():
    problem, limits = crowd(), make_limits(np.random.default_rng(3), 150, 2**40)
    cold = fit_prices(problem, limits, 1.0)
    warm = fit_prices(problem, limits, 1.0, start=cold, rounds=5)
    bounds = [
        dual_value(problem, limits, prices, best_sets(problem, limits, prices)) + limits.worth_of(prices)
        for prices in (cold, warm)
    ]
    assert bounds[1] <= bounds[0] * 1.0005


def test_prices_do_not_depend_on_the_order_of_people():
    """Sums are of whole numbers or exact, so a processor may add in any order."""
    problem, limits = crowd(300), make_limits(np.random.default_rng(3), 20, 2**40)
    before = fit_prices(problem, limits, 1.0)
    rows = np.random.default_rng(1).permutation(problem.n_users)
    order = np.concatenate([np.flatnonzero(problem.pair_user == user) for user in rows])
    place = np.argsort(rows)
    arrays = {
        name: getattr(problem, name)[order]
        for name in ("pair_campaign", "value", "allowed", "channels", "is_exempt", "is_explore", "tie")
    }
    shuffled = Problem(
        n_users=problem.n_users,
        pair_user=place[problem.pair_user[order]],
        room=problem.room[rows],
        **arrays,
    )
    assert np.array_equal(fit_prices(shuffled, limits, 1.0), before)


def test_nothing_scarce_means_no_price():
    problem = random_problem(1)
    limits = make_limits(np.random.default_rng(1), 10_000, 2**40)
    assert not fit_prices(problem, limits, 1.0).any()

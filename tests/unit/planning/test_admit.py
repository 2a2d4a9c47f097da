"""Cut-offs: a rank is admitted as a whole or not at all, and never more than fits."""

import numpy as np
import pytest

from angelia.planning import Choice, Limits, Problem, best_sets
from angelia.planning.admit import admitted, cut_offs, histogram, ranks, regrets


@pytest.mark.parametrize(
    ("capacity", "cut"),
    [(0, 31), (2, 31), (3, 30), (4, 30), (6, 30), (7, 20), (8, 10), (100, 10)],
)
def test_a_rank_that_does_not_fit_as_a_whole_is_not_admitted(capacity, cut):
    """Ranks 30, 20 and 10 have 3, 4 and 1 messages, in two shards.

    What is behind a full rank waits, too.
    """
    shards = [{"0": {"30": 1, "20": 4}}, {"0": {"30": 2, "10": 1}}]
    assert cut_offs(shards, np.array([capacity])) == {0: cut}


def test_ranks_rise_with_regret_and_split_by_hash() -> None:
    regret = np.array([0, 1, 2, 3, 1000, 1001, 1100, 2**40])
    same = np.zeros(len(regret), np.uint64)
    rank = ranks(regret, same)
    assert (np.diff(rank) >= 0).all()
    assert rank[0] == rank[1] < rank[2] < rank[3] < rank[4] == rank[5] < rank[6] < rank[7]
    # A class is a sixteenth of an octave: the power of two begins one.
    assert (np.diff(ranks(2 ** np.arange(1, 40), np.zeros(39, np.uint64))) == 16 << 12).all()
    assert ranks(np.array([1000]), np.array([2**63], np.uint64))[0] - rank[4] == 1 << 11


def two_hours(value: list[list[int]]) -> tuple[Problem, Limits]:
    """Return people with one campaign and two hours, of which each takes one message."""
    n = len(value)
    problem = Problem(
        n_users=n,
        pair_user=np.arange(n),
        pair_campaign=np.zeros(n, np.int64),
        value=np.array(value),
        allowed=np.ones((n, 2), bool),
        channels=np.ones((n, 1), bool),
        is_exempt=np.zeros(n, bool),
        is_explore=np.zeros(n, bool),
        room=np.ones((n, 2), np.int16),
        tie=np.zeros(n, np.uint64),
    )
    limits = Limits(np.ones((1, 2), np.int64), np.array([2**40]), np.zeros(1, np.int64), 1, 1)
    return problem, limits


@pytest.mark.parametrize("is_exempt", [False, True])
def test_who_loses_least_gives_way(is_exempt: bool) -> None:
    """Both want the first hour; the first person's second hour is nearly as good."""
    problem, limits = two_hours([[1000, 990], [600, 10]])
    problem = Problem(**{**problem.__dict__, "is_exempt": np.full(2, is_exempt)})
    prices = np.zeros(3, np.int64)
    choice = best_sets(problem, limits, prices)
    assert choice.slot.tolist() == [0, 0]
    full = np.array([True, False, False])
    rows, regret = regrets(problem, limits, prices, choice, full, full)
    assert regret.tolist() == [10, 590]
    cuts = cut_offs([histogram(problem, limits, choice, rows, regret, full)], limits.flat())
    assert admitted(problem, limits, choice, rows, regret, cuts).tolist() == [False, True]


def test_held_messages_are_not_asked_again() -> None:
    problem, limits = two_hours([[1000, 990], [600, 10]])
    held = Choice(np.array([0, -1]), np.array([0, -1]), np.array([1000, 0]))
    choice = best_sets(problem, limits, np.zeros(3, np.int64), held=held)
    full = np.array([True, False, False])
    rows, regret = regrets(problem, limits, np.zeros(3, np.int64), choice, full, full, held)
    assert (rows.tolist(), regret.tolist()) == ([1], [590])

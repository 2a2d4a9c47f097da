"""Rounds: choose at fixed prices, admit at the cut-offs, let the displaced choose again among what is still
open; at most three times.

A pure function of the problem, the prices and the cut-offs so far: any worker can replay any round of any
shard, so no state is kept between passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from angelia.planning.admit import admitted, cut_offs
from angelia.planning.choose import best_sets
from angelia.planning.problem import I64, Choice, Limits, Problem

MAX_ROUNDS = 3
# Fitted prices ration the first offer. What is left over after it would go idle at those prices, so later
# offers ask less and less for it.
DISCOUNT = (1.0, 0.5, 0.0)


@dataclass(frozen=True)
class Round:
    """What a finished round fixed: cut-offs by constraint, and the constraints that take nobody any more."""

    cuts: dict[int, int]
    closed: tuple[int, ...]


def decide(
    problem: Problem, limits: Limits, prices: I64, drawn: Choice, rounds: Sequence[Round]
) -> tuple[Choice, npt.NDArray[np.bool_]]:
    """Return the choice after the finished `rounds` plus one more offer, and which pairs were ever displaced,
    shape (m,).

    `drawn` holds the exploration stratum's messages: they have reserved capacity and are never displaced
    here.
    """
    held, closed = drawn, np.zeros(limits.n_constraints, bool)
    displaced = np.zeros(problem.n_pairs, bool)
    for number in range(len(rounds) + 1):  # at most MAX_ROUNDS offers
        choice = best_sets(problem, limits, np.rint(prices * DISCOUNT[number]).astype(np.int64), closed, held)
        if number == len(rounds):
            return choice, displaced
        keep = admitted(problem, limits, choice, rounds[number].cuts) | (drawn.slot >= 0)
        displaced |= (choice.slot >= 0) & ~keep
        held = Choice(
            np.where(keep, choice.slot, -1), np.where(keep, choice.channel, -1), np.where(keep, choice.bid, 0)
        )
        closed = closed.copy()
        closed[list(rounds[number].closed)] = True
    raise AssertionError("unreachable")


def next_round(limits: Limits, used: I64, histograms: Sequence[dict[str, dict[str, int]]]) -> Round:
    """Return what an offer fixed, from all shards' usage, (c*h + k,), and bid histograms of the constraints
    it exceeded.
    """
    return Round(cut_offs(histograms, limits), tuple(int(i) for i in np.flatnonzero(used >= limits.flat())))


def is_settled(limits: Limits, used: I64, prices: I64) -> bool:
    """Return whether no further offer can change anything: nothing is exceeded, and no price kept anybody
    out.
    """
    return not (used > limits.flat()).any() and not prices.any()


def final(
    problem: Problem, limits: Limits, prices: I64, drawn: Choice, rounds: Sequence[Round]
) -> tuple[Choice, npt.NDArray[np.bool_]]:
    """Return the decided choice, cut at every round's cut-offs, and which pairs were displaced without
    another place.
    """
    if not rounds:
        return decide(problem, limits, prices, drawn, [])
    choice, displaced = decide(problem, limits, prices, drawn, rounds[:-1])
    keep = admitted(problem, limits, choice, rounds[-1].cuts) | (drawn.slot >= 0)
    displaced |= (choice.slot >= 0) & ~keep
    kept = Choice(
        np.where(keep, choice.slot, -1), np.where(keep, choice.channel, -1), np.where(keep, choice.bid, 0)
    )
    return kept, displaced & (kept.slot < 0)

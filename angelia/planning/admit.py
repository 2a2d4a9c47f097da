"""Admission: full constraints admit the highest bids, ties by hash, from per-shard histograms that simply add
up.

A message's rank at a constraint is one integer: its bid's logarithmic class, then hash bits. A cut-off is the
lowest rank that still fits, so a constraint is never exceeded, whatever the shards.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from angelia.planning.problem import I64, Choice, Limits, Problem

CLASSES_PER_OCTAVE = 16
HASH_BITS = 12


def ranks(bid: I64, tie: npt.NDArray[np.uint64]) -> I64:
    """Return each message's rank, higher first admitted, shape as `bid`."""
    octave = np.floor(np.log2(np.maximum(bid, 1).astype(np.float64)) * CLASSES_PER_OCTAVE).astype(np.int64)
    return np.asarray((octave << HASH_BITS) + (tie >> np.uint64(64 - HASH_BITS)).astype(np.int64))


def bid_histogram(
    problem: Problem, limits: Limits, choice: Choice, watched: Iterable[int]
) -> dict[str, dict[str, int]]:
    """Return, per watched constraint, how many chosen messages have each rank; JSON-ready."""
    chosen = problem.priced(choice)
    rank = ranks(choice.bid[chosen], problem.tie[chosen])
    hours, campaigns = problem.constraints(choice, chosen, limits)
    found = {}
    for constraint in watched:
        here = (hours if constraint < limits.capacity.size else campaigns) == constraint
        values, counts = np.unique(rank[here], return_counts=True)
        found[str(constraint)] = {str(int(v)): int(c) for v, c in zip(values, counts, strict=True)}
    return found


def cut_offs(histograms: Iterable[dict[str, dict[str, int]]], limits: Limits) -> dict[int, int]:
    """Return the lowest admitted rank of each watched constraint, from all shards' histograms."""
    total: dict[int, dict[int, int]] = {}
    for histogram in histograms:
        for constraint, counts in histogram.items():
            into = total.setdefault(int(constraint), {})
            for rank, count in counts.items():
                into[int(rank)] = into.get(int(rank), 0) + count
    limit = limits.flat()
    found = {}
    for number, by_rank in total.items():
        left, cut = int(limit[number]), max(by_rank, default=0) + 1
        for place in sorted(by_rank, reverse=True):
            if by_rank[place] > left:
                break
            left -= by_rank[place]
            cut = place
        found[number] = cut
    return found


def admitted(problem: Problem, limits: Limits, choice: Choice, cuts: dict[int, int]) -> npt.NDArray[np.bool_]:
    """Return which pairs are chosen and pass every cut-off they meet, shape (m,)."""
    chosen = np.flatnonzero(choice.slot >= 0)
    floor = np.full(limits.n_constraints, np.iinfo(np.int64).min)
    for constraint, cut in cuts.items():
        floor[constraint] = cut
    hours, campaigns = problem.constraints(choice, chosen, limits)
    rank = ranks(choice.bid[chosen], problem.tie[chosen])
    keep = np.zeros(problem.n_pairs, bool)
    keep[chosen] = (rank >= floor[hours]) & (rank >= floor[campaigns])
    return keep

"""Admission: full limits keep the messages whose refusal would cost most.

What a refusal costs is a person's regret: the message's net worth less that of the best one they could still
have where there is room. It is small where another hour is nearly as good, however high the message's own
worth. A rank at a constraint is one integer: the regret's logarithmic class, then hash bits. A cut-off is the
lowest rank that still fits, so a constraint is never exceeded, whatever the shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from angelia.planning.choose import Packed, best_more, best_of, exempt_net, pack
from angelia.planning.problem import I64, Bools, Choice, Limits, Problem, of_each
from angelia.planning.routes.fees import Tilt, fees

CLASSES_PER_OCTAVE = 16
HASH_BITS = 12
# Where a class begins within its octave, as a share of the octave: a table, since processors round logarithms
# differently.
_STEPS = np.array([2.0 ** (i / CLASSES_PER_OCTAVE) / 2.0 for i in range(CLASSES_PER_OCTAVE)])
_STEPS = np.round(_STEPS * 2**40) / 2**40


def ranks(regret: I64, tie: npt.NDArray[np.uint64]) -> I64:
    """Return each message's rank, higher first admitted, shape as `regret`."""
    share, octave = np.frexp(np.maximum(regret, 1).astype(np.float64))
    step = np.searchsorted(_STEPS, share, side="right") - 1
    classes = (octave.astype(np.int64) - 1) * CLASSES_PER_OCTAVE + step
    return np.asarray((classes << HASH_BITS) + (tie >> np.uint64(64 - HASH_BITS)).astype(np.int64))


def regrets(
    problem: Problem,
    limits: Limits,
    prices: I64,
    choice: Choice,
    exceeded: Bools,
    closed: Bools,
    held: Choice | None = None,
    packed: Packed | None = None,
    tilt: Tilt | None = None,
) -> tuple[I64, I64]:
    """Return the new pairs at an exceeded constraint, and what each refusal costs, both (r,).

    `closed` marks what takes nobody any more after this offer, the exceeded constraints among it.
    """
    packed = pack(problem, limits) if packed is None else packed
    fresh = choice.slot >= 0 if held is None else (choice.slot >= 0) & (held.slot < 0)
    rows = np.flatnonzero(fresh & ~problem.is_explore)
    used = problem.constraints(choice, rows, limits)
    touches = of_each(used, exceeded).any(axis=0)
    rows, used = rows[touches], used[:, touches]
    net = choice.bid[rows] - of_each(used, prices).sum(axis=0)
    # Refused people choose again where there is room, so that is what they are left with.
    tables = fees(packed.patterns, packed.bits, limits, prices, closed, tilt)
    is_exempt = problem.is_exempt[rows]
    rest = np.zeros(len(rows), np.int64)
    if is_exempt.any():
        which = np.searchsorted(packed.exempt, rows[is_exempt])
        rest[is_exempt] = exempt_net(problem, limits, packed, which, tables).max(axis=1)
    users, beside = problem.pair_user[rows], _beside(problem, choice)[rows]
    for bucket in packed.buckets:
        place = np.minimum(np.searchsorted(bucket.users, users), len(bucket.users) - 1)
        here = (bucket.users[place] == users) & ~is_exempt
        alone, paired = np.flatnonzero(here & (beside < 0)), np.flatnonzero(here & (beside >= 0))
        if len(alone):
            rest[alone] = best_of(bucket, limits, tables, place[alone])[2]
        if len(paired):
            who, other = place[paired], beside[paired]
            where = bucket.place_of(other, who)
            rest[paired] = best_more(bucket, limits, tables, who, where, choice.slot[other])[1]
    return rows, np.maximum(net - np.maximum(rest, 0), 0)


def _beside(problem: Problem, choice: Choice) -> I64:
    """Return the other marketing message of each chosen pair's person, -1 = none, (m,)."""
    rows = np.flatnonzero((choice.slot >= 0) & ~problem.is_exempt)
    users = problem.pair_user[rows]
    n, total = (np.bincount(users, weights, problem.n_users) for weights in (None, rows))
    beside = np.full(problem.n_pairs, -1)
    beside[rows] = np.where(n[users] == 2, total[users].astype(np.int64) - rows, -1)
    return beside


Histograms = dict[str, dict[str, int]]


def histogram(
    problem: Problem, limits: Limits, choice: Choice, rows: I64, regret: I64, exceeded: Bools
) -> Histograms:
    """Return, per exceeded constraint, how many of these messages have each rank; JSON-ready."""
    used = problem.constraints(choice, rows, limits)
    rank = ranks(regret, problem.tie[rows])
    counts: Histograms = {}
    for constraint in np.flatnonzero(exceeded).tolist():
        values, n = np.unique(rank[(used == constraint).any(axis=0)], return_counts=True)
        counts[str(constraint)] = {str(v): c for v, c in zip(values.tolist(), n.tolist(), strict=True)}
    return counts


def cut_offs(histograms: Iterable[Mapping[str, Mapping[str, int]]], left: I64) -> dict[int, int]:
    """Return the lowest admitted rank of each full constraint, from all shards' histograms.

    `left` is what the messages held so far leave of each constraint, (c*h + k + s*h,).
    """
    total: dict[int, dict[int, int]] = {}
    for shard in histograms:
        for constraint, counts in shard.items():
            into = total.setdefault(int(constraint), {})
            for rank, count in counts.items():
                into[int(rank)] = into.get(int(rank), 0) + count
    cuts = {}
    for number, by_rank in total.items():
        rest, cut = int(left[number]), max(by_rank, default=0) + 1
        for place in sorted(by_rank, reverse=True):
            if by_rank[place] > rest:
                break
            rest -= by_rank[place]
            cut = place
        cuts[number] = cut
    return cuts


def admitted(
    problem: Problem, limits: Limits, choice: Choice, rows: I64, regret: I64, cuts: Mapping[int, int]
) -> Bools:
    """Return which of these messages pass every cut-off they meet, (r,)."""
    floor = np.full(limits.n_constraints, np.iinfo(np.int64).min)
    for constraint, cut in cuts.items():
        floor[constraint] = cut
    lowest = of_each(problem.constraints(choice, rows, limits), floor, nothing=np.iinfo(np.int64).min)
    return np.asarray((ranks(regret, problem.tie[rows]) >= lowest).all(axis=0))

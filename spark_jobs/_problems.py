"""A shard's planning problem on its way through the passes of `plan_dispatch`.

It is built from the lake, kept in the store between two passes, cut to the price sample, and joined with
those of other shards.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from angelia.lake import Lake
from angelia.lake.store import Store
from angelia.planning import Choice, Problem
from angelia.planning.eligibility import build, draw_slots
from angelia.planning.inputs import Inputs, Shard, load_shard
from angelia.planning.offers import MaterialFacts
from angelia.planning.terms import Terms

ARRAYS = (
    "pair_user",
    "pair_campaign",
    "value",
    "allowed",
    "channels",
    "is_exempt",
    "is_explore",
    "room",
    "tie",
)
DRAWN = ("slot", "channel", "bid")


@dataclass(frozen=True)
class PlanContext:
    """What every pass over the shards reads; travels to the workers."""

    lake: Lake
    inputs: Inputs
    terms: Terms
    facts: MaterialFacts
    folder: str

    def problem_key(self, number: int) -> str:
        """Return where a shard's problem waits for the next pass."""
        return f"{self.folder}/sample/{number:06d}.npz"

    def sample_key(self, number: int) -> str:
        """Return where a shard's part of the price sample waits for the driver."""
        return f"{self.folder}/sample/{number:06d}.sample.npz"


@dataclass(frozen=True)
class Planned:
    """A shard on its way through the passes."""

    shard: Shard
    problem: Problem
    outcome: np.ndarray
    arm: np.ndarray
    drawn: Choice
    slot_propensity: np.ndarray


def prepare(context: PlanContext, number: int) -> Planned:
    """Return a shard's problem and its exploration stratum's draws, before any drop."""
    terms = context.terms
    shard = load_shard(context.lake, context.inputs, terms, context.facts, number)
    problem, outcome, arm = build(terms, shard.people, shard.pairs, shard.past)
    drawn, slot_propensity = draw_slots(terms, shard.people, problem, outcome, shard.pairs.p_open)
    return Planned(shard, problem, outcome, arm, drawn, slot_propensity)


def explore_usage(planned: Planned, terms: Terms) -> np.ndarray:
    """Return what the drawn messages would use of each constraint, (c*h + k,)."""
    limits = terms.limits()
    rows = np.flatnonzero(planned.drawn.slot >= 0)
    hours, campaigns = planned.problem.constraints(planned.drawn, rows, limits)
    return np.bincount(np.concatenate([hours, campaigns]), minlength=limits.n_constraints)


def part_of(problem: Problem, chosen: np.ndarray) -> Problem:
    """Return the part of a problem that concerns the chosen users, (n,), and has an open hour."""
    rows = chosen[problem.pair_user] & problem.allowed.any(axis=1)
    place = np.cumsum(chosen) - 1
    return Problem(
        int(chosen.sum()),
        place[problem.pair_user[rows]],
        problem.pair_campaign[rows],
        problem.value[rows],
        problem.allowed[rows],
        problem.channels[rows],
        problem.is_exempt[rows],
        problem.is_explore[rows],
        problem.room[chosen],
        problem.tie[rows],
    )


def keep(store: Store, key: str, problem: Problem, drawn: Choice) -> None:
    """Store a problem and its drawn messages (npz, no pickles)."""
    sink = io.BytesIO()
    arrays = {name: getattr(problem, name) for name in ARRAYS} | {
        f"drawn_{name}": getattr(drawn, name) for name in DRAWN
    }
    arrays["allowed"] = np.packbits(problem.allowed, axis=1)
    np.savez(sink, n_users=np.int64(problem.n_users), **arrays)
    store.put(key, sink.getvalue())


def kept(store: Store, key: str) -> tuple[Problem, Choice]:
    """Return what `keep` stored."""
    stored = np.load(io.BytesIO(store.read(key)), allow_pickle=False)
    arrays = {name: stored[name] for name in ARRAYS}
    arrays["allowed"] = np.unpackbits(arrays["allowed"], axis=1, count=arrays["value"].shape[1]).astype(bool)
    drawn = Choice(*(stored[f"drawn_{name}"] for name in DRAWN))
    return Problem(n_users=int(stored["n_users"]), **arrays), drawn


def joined(problems: Sequence[Problem]) -> Problem:
    """Return the problems of several shards as one."""
    first = np.cumsum([0, *(problem.n_users for problem in problems)])
    arrays = {
        name: np.concatenate([getattr(problem, name) for problem in problems])
        for name in ARRAYS
        if name != "pair_user"
    }
    users = np.concatenate(
        [problem.pair_user + start for problem, start in zip(problems, first[:-1], strict=True)]
    )
    return Problem(n_users=int(first[-1]), pair_user=users, **arrays)

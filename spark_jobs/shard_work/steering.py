"""The sample of people that a night's price of refusals is found on.

Grain: shard. A pass before the others builds the problems of a few thousand people and puts their parts
beside the attempt; where the job runs they are joined, and `find_price` is called. Surprise: whose shards are
read goes by blocks of ordinals, so that the price is the same however wide shards are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from angelia.contracts.ids import uniform
from angelia.planning import Problem
from angelia.planning.eligibility import BuiltShard, ShardPeople, cells, open_hours
from angelia.planning.later import UsualHours, find_price
from angelia.planning.problem import Limits
from angelia.planning.reading import Blocks
from angelia.planning.terms import RefusalPrice, Terms
from angelia.timing.busiest import busiest_of
from spark_jobs.running.session import ShardResult
from spark_jobs.shard_work.problems import (
    ARRAYS,
    PlanContext,
    PlannedShard,
    get_arrays,
    joined,
    part_of,
    prepare,
    put_arrays,
)

BLOCK_BITS = 12
BLOCKS = 8
SAMPLE_USERS = 10_000


@dataclass(frozen=True)
class RiskSample:
    """Some people's problem, its pairs' risk, (m, h), and what an open is worth, (m,).

    `usual` says where the usual way sends its messages. `waits` are the pairs whose message waits for a later
    night, (m,); the problem is as if none did.
    """

    problem: Problem
    risk: np.ndarray
    weight: np.ndarray
    usual: UsualHours
    waits: np.ndarray

    def price(
        self, terms: Terms, limits: Limits, n_users: int, report: Callable[[str], None]
    ) -> RefusalPrice | None:
        """Return the price that keeps a night to its limit; None where nothing is sent."""
        assert terms.refusals_at_most is not None
        scale = n_users / max(self.problem.n_users, 1)
        return find_price(
            self.problem, self.risk, self.weight, self.usual, limits, scale, terms.refusals_at_most, report,
            self.waits,
        )  # fmt: skip


def sampled_blocks(terms: Terms, n_users: int) -> list[int]:
    """Return the blocks of ordinals whose people may be in the sample, by hash."""
    blocks = np.arange(-(-n_users >> BLOCK_BITS))
    lot = uniform(blocks.astype(np.uint64), terms.salt, "refusal sample", terms.ds)
    return sorted(np.argsort(lot, kind="stable")[:BLOCKS].tolist())


def sampled_share(blocks: Sequence[int], n_users: int) -> float:
    """Return the share of the blocks' people who are in the sample."""
    people = sum(min(1 << BLOCK_BITS, n_users - (block << BLOCK_BITS)) for block in blocks)
    return min(1.0, SAMPLE_USERS / max(people, 1))


def sampled_shards(shards: Sequence[int], blocks: Sequence[int], shard_bits: int) -> list[int]:
    """Return the shards that have people of the blocks."""
    wide = max(shard_bits, BLOCK_BITS)
    wanted = {block >> (wide - BLOCK_BITS) for block in blocks}
    return [number for number in shards if number >> (wide - shard_bits) in wanted]


def risk_sample(
    built: BuiltShard | PlannedShard,
    terms: Terms,
    people: ShardPeople,
    busiest: tuple[float, float],
    chosen: np.ndarray | None = None,
) -> RiskSample:
    """Return the chosen people of a shard, (n,), or all.

    There is no risk where nothing is known of refusals. `busiest`: how far people's busiest hours lie on the
    way to their best, on workdays and on days off.
    """
    # The usual way sends at once, so what waits is a part of what refusals are measured by.
    problem, later = replace(built.problem, allowed=built.allowed), built.later
    chosen = np.ones(problem.n_users, bool) if chosen is None else chosen
    weights = dict(terms.priority_weight)
    worth = np.array([weights[one.priority] * one.value_micros for one in terms.campaigns], np.float64)
    weight = np.where(problem.is_exempt, 0.0, worth[problem.pair_campaign])
    risk = np.zeros(problem.value.shape) if later is None or later.risk is None else later.risk
    rows = chosen[problem.pair_user] & problem.allowed.any(axis=1)
    local, _, off = open_hours(terms, people)
    user = problem.pair_user[rows]
    curve = np.take_along_axis(people.curves, cells(local, off), 1)
    usual = UsualHours.of(curve[user], problem.allowed[rows], off[user], busiest)
    waits = np.zeros(problem.n_pairs, bool) if built.nights is None else built.nights > 0
    return RiskSample(part_of(problem, chosen), risk[rows], weight[rows], usual, waits[rows])


def sample_shard(context: PlanContext, blocks: Sequence[int], share: float, number: int) -> ShardResult:
    """Build the problem of the blocks' people, and put their part of the sample away.

    It stands beside the attempt.
    """
    planned = prepare(context, number, Blocks(tuple(blocks), BLOCK_BITS))
    people, terms = planned.shard.people, context.terms
    chosen = uniform(people.keys, terms.salt, "price sample", terms.ds) < share
    part = risk_sample(planned, terms, people, busiest_of(context.inputs.send_times.meta), chosen)
    problem = part.problem
    arrays = [
        np.array([problem.n_users]),
        part.risk,
        part.weight,
        part.usual.best,
        part.usual.reach,
        part.waits,
    ]
    put_arrays(
        context.lake.store,
        context.waiting.key(number, "risk"),
        [*arrays, *(getattr(problem, n) for n in ARRAYS)],
    )
    return ShardResult(number, [], {})


def kept_samples(context: PlanContext, numbers: Sequence[int]) -> RiskSample:
    """Return what `sample_shard` put beside the attempt, as one, and delete it."""
    problems: list[Problem] = []
    parts: list[list[np.ndarray]] = []
    for number in numbers:
        n_users, risk, weight, best, reach, waits, *arrays = get_arrays(
            context.lake.store, context.waiting.key(number, "risk")
        )
        problems.append(Problem(n_users=int(n_users[0]), **dict(zip(ARRAYS, arrays, strict=True))))
        parts.append([risk, weight, best, reach, waits])
    risk, weight, best, reach, waits = (np.concatenate(part) for part in zip(*parts, strict=True))
    whole = RiskSample(joined(problems), risk, weight, UsualHours(best, reach), waits)
    for number in numbers:
        context.lake.store.delete(context.waiting.key(number, "risk"))
    return whole

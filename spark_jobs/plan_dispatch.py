"""Decide who gets what, when and by which channel. Grain: user.

Reads user_features, send_times, audience_members, material_scores, user_pushes, last night's decisions and
the catalog snapshot; writes decisions. Passes over the shards: one builds each shard's problem, puts it
beside the attempt and draws the price sample, up to three offer and admit, one writes. Every pass reads its
shard's problem back and replays the finished rounds, so a worker keeps no state and a lost one costs its
shard only. Surprise: a plan is for the 24 hours that begin ANGELIA_LEAD_HOURS after ds began (D+1 04:00 UTC),
not for ds itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from angelia.catalog.snapshot import load_snapshot
from angelia.config import load_settings
from angelia.contracts import outcomes
from angelia.contracts.derived import DECISION
from angelia.contracts.ids import message_id, uniform
from angelia.days import require_day
from angelia.errors import Conflict, InvalidInput
from angelia.lake import Lake
from angelia.output import progress
from angelia.planning import (
    MAX_ROUNDS,
    Choice,
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
from angelia.planning.certificate import certificate, summarise
from angelia.planning.eligibility import OPEN, thin_drawn
from angelia.planning.inputs import (
    Inputs,
    days_needed,
    find_inputs,
    material_facts,
    terms_of,
)
from angelia.planning.terms import Terms
from spark_jobs._impossible import impossible
from spark_jobs._problems import PlanContext, Planned, explore_usage, joined, keep, kept, part_of, prepare
from spark_jobs._session import (
    ShardResult,
    all_shards,
    arg_parser,
    open_judged,
    run_job,
    run_shards,
    spark_session,
)

if TYPE_CHECKING:  # shards may be planned in this process, which needs no Spark
    from pyspark.sql import SparkSession

SAMPLE_USERS = 20_000


@dataclass(frozen=True)
class Fixed:
    """What the passes so far fixed for all shards.

    `demand` is what the drawn messages would use, `prices` what the others pay, both (c*h + k,); `bound` is
    the dual's value at these prices.
    """

    demand: np.ndarray
    prices: np.ndarray
    rounds: tuple[Round, ...] = ()
    bound: int = 0


def decisions_table(
    planned: Planned,
    terms: Terms,
    prices: np.ndarray,
    rounds: Sequence[Round],
    thinned: Choice,
    dropped: np.ndarray,
) -> pa.Table:
    """Return the shard's decisions: every considered pair with its outcome, grouped by user."""
    problem, shard, limits = planned.problem, planned.shard, terms.limits()
    choice, displaced = final(problem, limits, prices, thinned, rounds)
    outcome = planned.outcome.copy()
    still = outcome == OPEN
    is_sent = choice.slot >= 0
    spent = {i for one in rounds for i in one.closed if i >= limits.capacity.size}
    no_budget = np.isin(problem.pair_campaign + limits.capacity.size, list(spent))
    worthless = still & ~((problem.value - limits.cost.min(initial=0) > 0) & problem.allowed).any(axis=1)
    outcome[still] = outcomes.NOT_CHOSEN
    outcome[still & worthless] = outcomes.NO_VALUE
    outcome[still & (displaced | dropped)] = outcomes.NO_CAPACITY
    outcome[still & displaced & no_budget] = outcomes.NO_BUDGET
    outcome[still & is_sent] = outcomes.SENT
    hours, campaigns = problem.constraints(choice, np.flatnonzero(is_sent), limits)
    paid = np.zeros(problem.n_pairs, np.int64)
    paid[is_sent] = np.where(problem.is_explore[is_sent], 0, prices[hours] + prices[campaigns])
    keys = [
        message_id(terms.campaigns[k].id, shard.people.user_id[u], terms.campaigns[k].occurrence)
        for u, k in _each(problem)
    ]
    slots = np.where(
        is_sent,
        terms.slots()[np.maximum(choice.slot, 0)].astype("datetime64[us]"),
        np.datetime64("NaT", "us"),
    )
    channels = np.array([*(c.id for c in terms.channels), None], object)[choice.channel]
    values = {
        "campaign_id": [terms.campaigns[k].id for k in problem.pair_campaign.tolist()],
        "message_id": keys,
        "occurrence": [terms.campaigns[k].occurrence for k in problem.pair_campaign.tolist()],
        "material_id": shard.material,
        "material_propensity": pa.array(shard.material_propensity, pa.float64(), from_pandas=True),
        "slot": pa.array(slots, pa.timestamp("us", "UTC"), from_pandas=True),
        "slot_propensity": pa.array(
            np.where(is_sent & problem.is_explore, planned.slot_propensity, np.nan),
            pa.float64(),
            from_pandas=True,
        ),
        "channel": channels.tolist(),
        "outcome": outcome.tolist(),
        "p_open": shard.pairs.p_open,
        "value_micros": np.where(
            is_sent, choice.bid, problem.value.max(axis=1, initial=0, where=problem.allowed)
        ),
        "price_micros": paid,
        "arm": planned.arm.tolist(),
        "is_explore": problem.is_explore,
    }
    flat = pa.StructArray.from_arrays(
        [pa.array(values[f.name], f.type) for f in DECISION], fields=list(DECISION)
    )
    counts = np.bincount(problem.pair_user, minlength=problem.n_users)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    table = pa.table(
        {
            "ordinal": shard.people.ordinal,
            "user_id": shard.people.user_id,
            "choices": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat),
        }
    )
    return table.filter(pa.array(counts > 0))


def _each(problem: Problem) -> zip[tuple[int, int]]:
    return zip(problem.pair_user.tolist(), problem.pair_campaign.tolist(), strict=True)


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    parser = arg_parser(__doc__, after=("sources", "features"))
    parser.add_argument(
        "--skip-before",
        type=_instant,
        default=None,
        metavar="ISO",
        help="hours that end before this instant have passed",
    )
    return parser


def _instant(value: str) -> datetime | None:
    if not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        require_day("--skip-before", value, parsed.date())
    except (ValueError, InvalidInput):
        raise argparse.ArgumentTypeError(f"{value!r} is no instant; write it as 2026-11-15T05:00Z") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def sample_shard(context: PlanContext, share: float, number: int) -> ShardResult:
    """First pass: put a shard's problem and its part of the price sample beside the attempt."""
    planned = prepare(context, number)
    keep(context.lake.store, context.problem_key(number), planned.problem, planned.drawn)
    is_sampled = uniform(planned.shard.people.keys, context.terms.salt, "price sample", context.terms.ds)
    sample = part_of(planned.problem, is_sampled < share)
    keep(context.lake.store, context.sample_key(number), sample, Choice.none(sample.n_pairs))
    return ShardResult(number, [], {"explore": explore_usage(planned, context.terms).tolist()})


def offer_shard(context: PlanContext, fixed: Fixed, number: int) -> ShardResult:
    """Second pass: what a shard would use of each limit, after the rounds so far."""
    limits = context.terms.limits()
    problem, drawn = kept(context.lake.store, context.problem_key(number))
    thinned, _ = thin_drawn(problem, limits, drawn, fixed.demand, context.terms.explore_limits())
    choice, _ = decide(problem, limits, fixed.prices, thinned, fixed.rounds)
    used = usage(problem, limits, choice)
    # The bound is the dual's value at the prices: rounds do not change it.
    dual = 0
    if not fixed.rounds:
        dual = dual_value(problem, limits, fixed.prices, best_sets(problem, limits, fixed.prices))
    histogram = bid_histogram(problem, limits, choice, np.flatnonzero(used).tolist())
    return ShardResult(number, [], {"used": used.tolist(), "histogram": histogram, "dual": dual})


def write_shard(context: PlanContext, fixed: Fixed, number: int) -> ShardResult:
    """Last pass: a shard's decisions, written to one file."""
    terms, planned = context.terms, prepare(context, number)
    thinned, dropped = thin_drawn(
        planned.problem, terms.limits(), planned.drawn, fixed.demand, terms.explore_limits()
    )
    table = decisions_table(planned, terms, fixed.prices, fixed.rounds, thinned, dropped)
    name = f"shard-{number:06d}.parquet"
    entry = context.lake.write_file("decisions", context.folder, table, name, shards=(number, number))
    explored = planned.problem.is_explore & (thinned.slot >= 0)
    value = int(thinned.bid[explored].sum())
    return ShardResult(number, [entry], {**summarise(table), "explore_value": value})


def price(spark: SparkSession, context: PlanContext, shards: Sequence[int]) -> Fixed:
    """Do the first pass: fit the prices to the sample, and add up what exploration would use."""
    limits, n_users = context.terms.limits(), int(context.inputs.index.meta["n_users"])
    share = min(1.0, SAMPLE_USERS / max(n_users, 1))
    sampled = run_shards(spark, shards, partial(sample_shard, context, share))
    demand = np.zeros(limits.n_constraints, np.int64)
    for result in sampled:
        demand += np.array(result.stats["explore"], np.int64)
    sample = joined([kept(context.lake.store, context.sample_key(number))[0] for number in shards])
    prices = fit_prices(sample, limits, n_users / max(sample.n_users, 1))
    progress(
        f"plan_dispatch: {sample.n_users} users sampled, {int((prices > 0).sum())} of "
        f"{limits.n_constraints} limits priced"
    )
    return Fixed(demand, prices)


def offer(
    spark: SparkSession, context: PlanContext, shards: Sequence[int], fixed: Fixed
) -> tuple[Fixed, int]:
    """Offer until no offer can change anything; return the rounds too, and the dual bound."""
    limits, bound = context.terms.limits(), 0
    for turn in range(MAX_ROUNDS):
        offered = run_shards(spark, shards, partial(offer_shard, context, fixed))
        used = np.sum([r.stats["used"] for r in offered], axis=0, dtype=np.int64)
        if turn == 0:
            bound = sum(r.stats["dual"] for r in offered) + int((fixed.prices * limits.flat()).sum())
        wishes, exceeded = int(used[: limits.capacity.size].sum()), int((used > limits.flat()).sum())
        progress(f"plan_dispatch: offer {turn + 1}: {wishes} wishes, {exceeded} limits exceeded")
        if is_settled(limits, used, fixed.prices):
            break
        finished = next_round(limits, used, [r.stats["histogram"] for r in offered])
        fixed = replace(fixed, rounds=(*fixed.rounds, finished))
    return fixed, bound


def solve_shards(spark: SparkSession, context: PlanContext, shards: Sequence[int]) -> tuple[Fixed, list[str]]:
    """Build the shards' problems and solve them as one night; return contradictions, too."""
    fixed, bound = offer(spark, context, shards, price(spark, context, shards))
    return replace(fixed, bound=bound), []


def main(argv: Sequence[str] | None = None) -> None:
    """Plan one night."""
    args = arg_parser_for_job().parse_args(argv)
    settings, lake = load_settings(), open_judged(args)
    catalog = load_snapshot(lake, args.ds)
    terms = terms_of(catalog, args.ds, settings.lead_hours, args.skip_before)
    inputs = find_inputs(lake, args.ds, days_needed(terms, settings.history_days))
    shards = all_shards(inputs.index)
    named = [str(one) for one in impossible(catalog, terms, inputs)]
    for line in named:
        progress(f"plan_dispatch: {line}")
    with spark_session("plan_dispatch") as spark, lake.attempt("decisions", ds=args.ds) as attempt:
        context = PlanContext(lake, inputs, terms, material_facts(catalog), attempt.folder)
        solved, told = solve_shards(spark, context, shards)
        written = run_shards(spark, shards, partial(write_shard, context, solved))
        for number in shards:
            lake.store.delete(context.problem_key(number))
            lake.store.delete(context.sample_key(number))
        for result in written:
            for entry in result.files:
                attempt.add(entry)
        _refuse_if_moved(lake, inputs, args.ds)
        meta = certificate(terms, solved.prices, solved.bound, [r.stats for r in written])
        commit = attempt.publish(
            inputs=[*inputs.all(), lake.require("catalog_snapshot", ds=args.ds)],
            meta={**meta, "contradictions": [*named, *told]} if named or told else meta,
            params={
                "lead_hours": settings.lead_hours,
                "skip_before": args.skip_before.isoformat() if args.skip_before else None,
            },
        )
        progress(f"plan_dispatch: {commit.ref}: {meta['outcomes']}, gap {meta['gap_pct']} %")


def _refuse_if_moved(lake: Lake, inputs: Inputs, ds: str) -> None:
    """Refuse to publish if last night's plan was replaced while this one was made.

    Caps hold over plans because each counts the one before: this one counted the wrong one.

    Raises:
        Conflict: last night's decisions have a newer commit than the one read.
    """
    now = find_inputs(lake, ds, 1).previous
    if (now.ref if now else None) != (inputs.previous.ref if inputs.previous else None):
        raise Conflict("last night's plan was replaced while this one was made", fix="rerun plan_dispatch")


if __name__ == "__main__":
    sys.exit(run_job(main))

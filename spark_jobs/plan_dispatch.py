"""Decide who gets what, when and by which channel. Grain: user.

Reads user_features, send_times, audience_members, material_scores, user_pushes, last night's decisions and
the catalog snapshot; writes decisions, and decided_pairs for the marts. Passes over the shards: the first
builds each shard's problem and puts it beside the attempt, laid out, with its part of the price sample and
the rows of its decisions; a few measure what people want at a price; each offer takes two or three; the last
writes. A pass reads its shard's night back and stores what changed, so a worker keeps no state and a lost one
costs its shard only. Prices begin at yesterday's. Surprise: a plan is for the 24 hours that begin
ANGELIA_LEAD_HOURS after ds began (D+1 04:00 UTC), not for ds itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from angelia.catalog.snapshot import load_snapshot
from angelia.config import load_settings
from angelia.contracts import outcomes
from angelia.contracts.derived import DECISION
from angelia.contracts.planned.pairs import PairWords, number_pairs
from angelia.days import require_day
from angelia.errors import Conflict, InvalidInput
from angelia.lake import Lake
from angelia.lake.attempt import GROUP_ROWS
from angelia.output import progress
from angelia.planning import Limits, ShardRounds, Solved, Step, solve
from angelia.planning.certificate import certificate, prices_before, summarise
from angelia.planning.eligibility import OPEN
from angelia.planning.exploring import thin_drawn
from angelia.planning.inputs import (
    Inputs,
    days_needed,
    find_inputs,
    plan_before,
    terms_of,
)
from angelia.planning.later import Fatigue
from angelia.planning.offers import material_facts
from angelia.planning.postponing import NIGHTS_AHEAD
from angelia.planning.problem import ONE, of_each
from angelia.planning.routes import with_responses
from angelia.planning.terms import Terms, contradictions
from spark_jobs.running.session import (
    ShardResult,
    all_shards,
    arg_parser,
    open_judged,
    run_job,
    run_shards,
    spark_session,
)
from spark_jobs.shard_work.impossible import impossible
from spark_jobs.shard_work.problems import (
    PlanContext,
    WaitingParts,
    explore_usage,
    joined,
    keep_night,
    keep_rows,
    keep_sample,
    keep_state,
    kept_night,
    kept_rows,
    kept_sample,
    prepare,
    price_sample,
    undecided_rows,
    without_draws,
)
from spark_jobs.shard_work.steering import (
    kept_samples,
    sample_shard,
    sampled_blocks,
    sampled_shards,
    sampled_share,
)

if TYPE_CHECKING:  # shards may be planned in this process, which needs no Spark
    from pyspark.sql import SparkSession

SAMPLE_USERS = 10_000
# Steps of so few people are done where the job runs: they take less time than a Spark task takes to start.
STEPS_HERE = 300_000


def decisions_table(terms: Terms, rows: pa.Table, night: ShardRounds, solved: Solved) -> pa.Table:
    """Return the shard's decisions: every considered pair with its outcome, grouped by user."""
    problem, limits, choice = night.problem, terms.limits(), night.held
    outcome = np.array(rows["outcome"].to_pylist(), object)
    still, is_sent = outcome == OPEN, choice.slot >= 0
    is_refused = night.refused & ~problem.is_explore
    no_budget = np.isin(problem.pair_campaign, solved.spent(limits))
    has_value = rows["has_value"].to_numpy(zero_copy_only=False)
    outcome[still] = outcomes.NOT_CHOSEN
    outcome[still & ~has_value] = outcomes.NO_VALUE
    outcome[still & night.refused] = outcomes.NO_CAPACITY
    outcome[still & is_refused & no_budget] = outcomes.NO_BUDGET
    outcome[still & is_sent] = outcomes.SENT
    sent = np.flatnonzero(is_sent)
    paid = np.zeros(problem.n_pairs, np.int64)
    prices = of_each(problem.constraints(choice, sent, limits), solved.prices).sum(axis=0)
    paid[sent] = np.where(problem.is_explore[sent], 0, prices)
    slots = np.where(
        is_sent,
        terms.slots()[np.maximum(choice.slot, 0)].astype("datetime64[us]"),
        np.datetime64("NaT", "us"),
    )
    channels = pa.array([channel.id for channel in terms.channels], pa.string())
    drawn_slot = rows["slot_propensity"].to_numpy(zero_copy_only=False)
    values = {name: rows[name].combine_chunks() for name in rows.column_names} | {
        "slot": pa.array(slots, pa.timestamp("us", "UTC"), from_pandas=True),
        "slot_propensity": pa.array(
            np.where(is_sent & problem.is_explore, drawn_slot, np.nan), pa.float64(), from_pandas=True
        ),
        "channel": channels.take(pa.array(choice.channel, pa.int64(), mask=~is_sent)),
        "outcome": pa.array(outcome.tolist(), pa.string()),
        "value_micros": pa.array(np.where(is_sent, choice.bid, rows["may_value"].to_numpy())),
        "price_micros": pa.array(paid),
    }
    flat = pa.StructArray.from_arrays(
        [values[field.name].cast(field.type) for field in DECISION], fields=list(DECISION)
    )
    # Pairs stand in the order of their people.
    first = np.flatnonzero(np.diff(problem.pair_user, prepend=-1))
    people = rows.select(["ordinal", "user_id"]).take(pa.array(first))
    offsets = pa.array(np.append(first, problem.n_pairs), pa.int32())
    return people.append_column("choices", pa.ListArray.from_arrays(offsets, flat))


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
        raise argparse.ArgumentTypeError(
            f"{value!r} is not an instant; write it as 2026-11-15T05:00Z"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def build_shard(context: PlanContext, share: float, number: int) -> ShardResult:
    """First pass: build a shard's problem, and put what later passes need beside the attempt."""
    terms, planned = context.terms, prepare(context, number)
    waiting = context.waiting
    keep_rows(waiting, number, undecided_rows(planned, terms))
    keep_sample(context.lake.store, waiting.key(number, "sample"), price_sample(planned, terms, share))
    keep_night(waiting, number, ShardRounds.of(planned.problem, terms.limits(), planned.drawn))
    problem = planned.problem
    may = problem.allowed.any(axis=1) & problem.channels.any(axis=1) & ~problem.is_explore
    reach = np.bincount(problem.pair_campaign[may], minlength=len(terms.campaigns))
    return ShardResult(
        number, [], {"explore": explore_usage(planned, terms).tolist(), "reach": reach.tolist()}
    )


def thin_draws(
    limits: Limits, demand: np.ndarray, reserve: np.ndarray, night: ShardRounds
) -> tuple[dict[str, Any], ShardRounds]:
    """Drop drawn messages that do not fit the exploration stratum's reserve."""
    thinned, dropped = thin_drawn(night.problem, limits, night.held, demand, reserve)
    return {}, without_draws(night, dropped, thinned)


def step_shard(waiting: WaitingParts, step: Step, number: int) -> ShardResult:
    """Do one step of the solution on a shard's night."""
    before = kept_night(waiting, number)
    answer, after = step(before)
    if after is not before:
        keep_state(waiting, number, after)
    return ShardResult(number, [], answer)


def write_shard(
    waiting: WaitingParts, terms: Terms, solved: Solved, number: int, pairs_folder: str | None = None
) -> ShardResult:
    """Last pass: a shard's decisions, written to one file, and its pairs by number to another.

    Without a folder for them no pairs are written: nobody makes a mart of a plan that is only compared.
    """
    night, rows = kept_night(waiting, number), kept_rows(waiting, number)
    table = decisions_table(terms, rows, night, solved)
    name, shards, write = f"shard-{number:06d}.parquet", (number, number), waiting.lake.write_file
    files = [write("decisions", waiting.folder, table, name, shards=shards)]
    if pairs_folder is not None:
        pairs = number_pairs(table, words_of(terms))
        # The marts read whole files, so row groups are large.
        size = GROUP_ROWS
        files.append(write("decided_pairs", pairs_folder, pairs, name, shards=shards, row_group_size=size))
    explored = night.problem.is_explore & (night.held.slot >= 0)
    value = int(night.held.bid[explored].sum())
    later = later_paid(terms, rows, night)
    waits = np.bincount(rows["waits"].to_numpy(), minlength=1 + NIGHTS_AHEAD)[1:]
    figures = {**summarise(table), "explore_value": value, "later": int(later.sum()), "waits": waits.tolist()}
    return ShardResult(number, files, figures)


def words_of(terms: Terms) -> PairWords:
    """Return the words that a night's pairs may have."""
    campaigns = terms.campaigns
    return PairWords(
        campaigns=tuple(campaign.id for campaign in campaigns),
        arms=tuple(sorted({arm.name for campaign in campaigns for arm in campaign.arms})),
        materials=tuple(sorted({name for campaign in campaigns for name in campaign.materials})),
        channels=tuple(channel.id for channel in terms.channels),
    )


def later_paid(terms: Terms, rows: pa.Table, night: ShardRounds) -> np.ndarray:
    """Return what the messages that are sent are expected to cost later, in micro-units."""
    sent = np.flatnonzero(night.held.slot >= 0)
    flat, share = (rows[name].to_numpy()[sent] for name in ("later_flat", "later_share"))
    if "later_by_hour" in rows.column_names:
        by_hour = rows["later_by_hour"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, -1)
        flat = flat + by_hour[sent, night.held.slot[sent]]
    channel, limits = night.held.channel[sent], terms.limits()
    net = night.held.bid[sent] + limits.cost[channel]
    if limits.boost.size:
        net = net * ONE // limits.boost[night.problem.pair_campaign[sent], channel]
    # A net worth is what the share and the flat amount left; without the share nothing would be left.
    worth = np.divide(net + flat, 1.0 - share, out=np.zeros(len(sent)), where=share < 1.0)
    return np.asarray(np.rint(worth - net), np.int64)


def steered(spark: SparkSession | None, context: PlanContext, shards: Sequence[int]) -> PlanContext:
    """Return the context with the price that keeps refusals to the policy's limit."""
    terms, meta = context.terms, context.inputs.index.meta
    if terms.refusals_at_most is None:
        return context
    n_users = int(meta["n_users"])
    blocks = sampled_blocks(terms, n_users)
    numbers = sampled_shards(shards, blocks, int(meta["shard_bits"]))
    run_shards(spark, numbers, partial(sample_shard, context, blocks, sampled_share(blocks, n_users)))
    sample = kept_samples(context, numbers)
    price = sample.price(terms, terms.limits(), n_users, lambda line: progress(f"plan_dispatch: {line}"))
    return replace(context, terms=replace(terms, refusal_price=price))


def solve_shards(
    spark: SparkSession, context: PlanContext, shards: Sequence[int]
) -> tuple[Solved, list[str]]:
    """Build the shards' problems and solve them as one night; name contradictions, too."""
    terms, limits, waiting = context.terms, context.terms.limits(), context.waiting
    n_users = int(context.inputs.index.meta["n_users"])
    share = min(1.0, SAMPLE_USERS / max(n_users, 1))
    demand, reach = np.zeros(limits.n_constraints, np.int64), np.zeros(len(terms.campaigns), np.int64)
    for result in run_shards(spark, shards, partial(build_shard, context, share)):
        demand += np.array(result.stats["explore"], np.int64)
        reach += np.array(result.stats["reach"], np.int64)
    unreachable, limits = contradictions(terms, limits, reach)
    for line in unreachable:
        progress(f"plan_dispatch: {line}")

    def run(step: Step) -> list[dict[str, Any]]:
        # Of so few people a step takes less time than Spark's tasks need to start.
        if n_users <= STEPS_HERE:
            return [step_shard(waiting, step, number).stats for number in shards]
        return [result.stats for result in run_shards(spark, shards, partial(step_shard, waiting, step))]

    run(partial(thin_draws, limits, demand, terms.explore_limits()))
    kept = [kept_sample(context.lake.store, waiting.key(number, "sample")) for number in shards]
    previous = context.inputs.previous
    solved = solve(
        run,
        limits,
        joined(kept),
        n_users / max(sum(part.n_users for part in kept), 1),
        start=None if previous is None else prices_before(terms, previous.meta),
        report=lambda line: progress(f"plan_dispatch: {line}"),
    )
    return solved, unreachable


def main(argv: Sequence[str] | None = None) -> None:
    """Plan one night."""
    args = arg_parser_for_job().parse_args(argv)
    settings, lake = load_settings(), open_judged(args)
    catalog = load_snapshot(lake, args.ds)
    workers = settings.delivery_slots
    terms = terms_of(catalog, args.ds, settings.lead_hours, args.skip_before, workers)
    inputs = find_inputs(lake, args.ds, days_needed(terms, settings.history_days))
    terms = with_responses(terms, inputs.send_times.meta)
    shards = all_shards(inputs.index)
    named = [str(one) for one in impossible(catalog, terms, inputs)]
    for line in named:
        progress(f"plan_dispatch: {line}")
    with (
        spark_session("plan_dispatch") as spark,
        lake.attempt("decisions", ds=args.ds) as attempt,
        lake.attempt("decided_pairs", ds=args.ds) as pairs,
    ):
        context = PlanContext(lake, inputs, terms, material_facts(catalog.materials), attempt.folder)
        context = steered(spark, context, shards)
        terms = context.terms
        solved, unreachable = solve_shards(spark, context, shards)
        write = partial(write_shard, context.waiting, terms, solved, pairs_folder=pairs.folder)
        written = run_shards(spark, shards, write)
        context.waiting.forget(shards)
        for result in written:
            decided, numbered = result.files
            attempt.add(decided)
            pairs.add(numbered)
        _refuse_if_moved(lake, inputs, args.ds)
        fatigue = Fatigue.of(inputs.scores.meta)
        meta = certificate(terms, solved.prices, solved.bound, [r.stats for r in written], fatigue)
        meta |= channel_meta(terms)
        commit = attempt.publish(
            inputs=[*inputs.all(), lake.require("catalog_snapshot", ds=args.ds)],
            meta={**meta, "contradictions": [*named, *unreachable]} if named or unreachable else meta,
            params={
                "lead_hours": settings.lead_hours,
                "skip_before": args.skip_before.isoformat() if args.skip_before else None,
                **({"delivery_slots": workers} if workers > 1 else {}),
            },
        )
        # After the plan, whose commit it cites: a night without its pairs is read from the plan itself.
        pairs.publish(inputs=[commit], meta=words_of(terms).meta())
        progress(f"plan_dispatch: {commit.ref}: {meta['outcomes']}, gap {meta['gap_pct']} %")


def channel_meta(terms: Terms) -> dict[str, Any]:
    """Return channels' responses, and the campaigns that went by them."""
    asking = [campaign.id for campaign in terms.campaigns if campaign.by_value]
    if not asking:
        return {}
    responses = {channel.id: round(channel.response / ONE, 3) for channel in terms.channels}
    return {"channel_responses": responses, "by_value": asking}


def _refuse_if_moved(lake: Lake, inputs: Inputs, ds: str) -> None:
    """Refuse to publish if last night's plan was replaced while this one was made.

    Caps hold over plans because each counts the one before: this one counted the wrong one.

    Raises:
        Conflict: last night's decisions have a newer commit than the one read.
    """
    now = plan_before(lake, ds)
    if (now.ref if now else None) != (inputs.previous.ref if inputs.previous else None):
        raise Conflict("last night's plan was replaced while this one was made", fix="rerun plan_dispatch")


if __name__ == "__main__":
    sys.exit(run_job(main))

"""Decide who gets what, when and by which channel. Grain: user. Reads user_features, send_times,
audience_members, material_scores, user_pushes, last night's decisions and the catalog; writes decisions.

Passes over the shards: one builds each shard's problem, puts it beside the attempt and draws the price
    sample, up to three offer and admit, one writes. Every pass reads its shard's problem back and replays the
    finished rounds, so a worker keeps no state and a lost one costs its shard only. What surprises: a plan is
    for the 24 hours that begin ANGELIA_LEAD_HOURS after ds began (D+1 04:00 UTC), not for ds itself.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

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
from angelia.lake.configured import open_lake
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
from angelia.planning.eligibility import OPEN, build, draw_slots, thin_drawn
from angelia.planning.inputs import (
    Inputs,
    Shard,
    days_needed,
    find_inputs,
    load_shard,
    material_facts,
    terms_of,
)
from angelia.planning.offers import MaterialFacts
from angelia.planning.terms import Terms
from spark_jobs._session import ShardResult, all_shards, arg_parser, run_job, run_shards, spark_session

SAMPLE_USERS = 20_000


@dataclass(frozen=True)
class Planned:
    """A shard on its way through the passes."""

    shard: Shard
    problem: Problem
    outcome: np.ndarray
    arm: np.ndarray
    drawn: Choice
    slot_propensity: np.ndarray


def prepare(lake: Lake, inputs: Inputs, terms: Terms, facts: MaterialFacts, number: int) -> Planned:
    """Return a shard's problem and its exploration stratum's draws, before any drop."""
    shard = load_shard(lake, inputs, terms, facts, number)
    problem, outcome, arm = build(terms, shard.people, shard.pairs, shard.past)
    drawn, slot_propensity = draw_slots(terms, shard.people, problem, outcome, shard.pairs.p_open)
    return Planned(shard, problem, outcome, arm, drawn, slot_propensity)


def explore_usage(planned: Planned, terms: Terms) -> np.ndarray:
    """Return what the drawn messages would use of each constraint, (c*h + k,)."""
    limits = terms.limits()
    rows = np.flatnonzero(planned.drawn.slot >= 0)
    hours, campaigns = planned.problem.constraints(planned.drawn, rows, limits)
    return np.bincount(np.concatenate([hours, campaigns]), minlength=limits.n_constraints)


def sample_of(planned: Planned, terms: Terms, share: float) -> Problem:
    """Return the part of a shard's problem whose users are in the price sample: a hash of the user, whatever
    the shard.
    """
    problem = planned.problem
    chosen = uniform(planned.shard.people.keys, terms.salt, "price sample", terms.ds) < share
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


def pack(problem: Problem, drawn: Choice) -> bytes:
    """Return a problem and its drawn messages as bytes (npz, no pickles)."""
    sink = io.BytesIO()
    arrays = {name: getattr(problem, name) for name in ARRAYS} | {
        f"drawn_{name}": getattr(drawn, name) for name in DRAWN
    }
    arrays["allowed"] = np.packbits(problem.allowed, axis=1)
    np.savez(sink, n_users=np.int64(problem.n_users), **arrays)
    return sink.getvalue()


def unpack(data: bytes) -> tuple[Problem, Choice]:
    """Return what `pack` packed."""
    found = np.load(io.BytesIO(data), allow_pickle=False)
    arrays = {name: found[name] for name in ARRAYS}
    arrays["allowed"] = np.unpackbits(arrays["allowed"], axis=1, count=arrays["value"].shape[1]).astype(bool)
    return Problem(n_users=int(found["n_users"]), **arrays), Choice(
        *(found[f"drawn_{name}"] for name in DRAWN)
    )


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
    parser = arg_parser(__doc__)
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


def main(argv: Sequence[str] | None = None) -> None:
    """Plan one night."""
    args = arg_parser_for_job().parse_args(argv)
    settings = load_settings()
    lake = open_lake(args.branch)
    catalog = load_snapshot(lake, args.ds)
    terms = terms_of(catalog, args.ds, settings.lead_hours, args.skip_before)
    inputs = find_inputs(lake, args.ds, days_needed(terms, settings.history_days))
    facts = material_facts(catalog)
    limits, reserve = terms.limits(), terms.explore_limits()
    n_users = int(inputs.index.meta["n_users"])
    shards = all_shards(inputs.index)
    share = min(1.0, SAMPLE_USERS / max(n_users, 1))
    with spark_session("plan_dispatch") as spark, lake.attempt("decisions", ds=args.ds) as attempt:
        work, folder = f"{attempt.folder}/sample", attempt.folder

        def sample(number: int) -> ShardResult:
            planned = prepare(lake, inputs, terms, facts, number)
            lake.store.put(f"{work}/{number:06d}.npz", pack(planned.problem, planned.drawn))
            chosen = sample_of(planned, terms, share)
            lake.store.put(f"{work}/{number:06d}.sample.npz", pack(chosen, Choice.none(chosen.n_pairs)))
            return ShardResult(number, [], {"explore": explore_usage(planned, terms).tolist()})

        sampled = run_shards(spark, shards, sample)
        demand = (
            np.sum([r.stats["explore"] for r in sampled], axis=0, dtype=np.int64)
            if sampled
            else np.zeros(limits.n_constraints, np.int64)
        )
        problem = joined([unpack(lake.store.read(f"{work}/{number:06d}.sample.npz"))[0] for number in shards])
        prices = fit_prices(problem, limits, n_users / max(problem.n_users, 1))
        progress(
            f"plan_dispatch: {problem.n_users} users sampled, {int((prices > 0).sum())} of "
            f"{limits.n_constraints} limits priced"
        )

        rounds: list[Round] = []
        bound = 0
        for turn in range(MAX_ROUNDS):

            def offer(
                number: int, rounds: Sequence[Round] = tuple(rounds), first: bool = turn == 0
            ) -> ShardResult:
                problem, drawn = unpack(lake.store.read(f"{work}/{number:06d}.npz"))
                thinned, _ = thin_drawn(problem, limits, drawn, demand, reserve)
                choice, _ = decide(problem, limits, prices, thinned, rounds)
                used = usage(problem, limits, choice)
                free = dual_value(problem, limits, prices, best_sets(problem, limits, prices)) if first else 0
                histogram = bid_histogram(problem, limits, choice, np.flatnonzero(used).tolist())
                return ShardResult(number, [], {"used": used.tolist(), "histogram": histogram, "dual": free})

            offered = run_shards(spark, shards, offer)
            used = np.sum([r.stats["used"] for r in offered], axis=0, dtype=np.int64)
            if turn == 0:
                bound = sum(r.stats["dual"] for r in offered) + int((prices * limits.flat()).sum())
            wishes, exceeded = int(used[: limits.capacity.size].sum()), int((used > limits.flat()).sum())
            progress(f"plan_dispatch: offer {turn + 1}: {wishes} wishes, {exceeded} limits exceeded")
            if is_settled(limits, used, prices):
                break
            rounds.append(next_round(limits, used, [r.stats["histogram"] for r in offered]))

        def write(number: int) -> ShardResult:
            planned = prepare(lake, inputs, terms, facts, number)
            thinned, dropped = thin_drawn(planned.problem, limits, planned.drawn, demand, reserve)
            table = decisions_table(planned, terms, prices, rounds, thinned, dropped)
            entry = lake.write_file(
                "decisions", folder, table, f"shard-{number:06d}.parquet", shards=(number, number)
            )
            explored = planned.problem.is_explore & (thinned.slot >= 0)
            return ShardResult(
                number, [entry], {**summarise(table), "explore_value": int(thinned.bid[explored].sum())}
            )

        written = run_shards(spark, shards, write)
        for number in shards:
            for kind in ("npz", "sample.npz"):
                lake.store.delete(f"{work}/{number:06d}.{kind}")
        for result in written:
            for entry in result.files:
                attempt.add(entry)
        _refuse_if_moved(lake, inputs, args.ds)
        meta = certificate(terms, prices, bound, [r.stats for r in written])
        commit = attempt.publish(
            inputs=[*inputs.all(), lake.require("catalog_snapshot", ds=args.ds)],
            meta=meta,
            params={
                "lead_hours": settings.lead_hours,
                "skip_before": args.skip_before.isoformat() if args.skip_before else None,
            },
        )
        progress(f"plan_dispatch: {commit.ref}: {meta['outcomes']}, gap {meta['gap_pct']} %")


def _refuse_if_moved(lake: Lake, inputs: Inputs, ds: str) -> None:
    """Caps hold over plans because each counts the one before: if that one was replaced meanwhile, this plan
    counted the wrong one.

    Raises:
        Conflict: last night's decisions have a newer commit than the one read.
    """
    now = find_inputs(lake, ds, 1).previous
    if (now.ref if now else None) != (inputs.previous.ref if inputs.previous else None):
        raise Conflict("last night's plan was replaced while this one was made", fix="rerun plan_dispatch")


if __name__ == "__main__":
    sys.exit(run_job(main))

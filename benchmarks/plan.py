"""Solving a night: the plan's distance from its bound and from HiGHS's optimum, seconds.

A drawn night of 20 campaigns, 24 hours and 3 channels, with scarce evenings and budgets (`_plan_night`), is
laid out in shards on disk as `plan_dispatch` does it, then solved by the product's own steps, one process a
core; drawing and laying out are not timed. `price_fit_s` is the descent on the sample with its corrections,
`pass_s` the time of all passes over all people. `gap_pct` is the certificate's, `true_gap_pct` that of a
night of 2,000 people against HiGHS's optimum. `scale_ratio` compares processor time with that of a tenth of
the people. Memory is that of all processes.

Example: `python -m benchmarks plan --users 200000 --campaigns 12`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.output import progress
from angelia.planning import ShardRounds, Step, solve, solve_here
from benchmarks.harness.result import Result
from benchmarks.harness.watch import Watch
from benchmarks.nights.plan_night import NightOf
from benchmarks.nights.plan_optimum import optimum
from spark_jobs.plan_dispatch import SAMPLE_USERS
from spark_jobs.shard_work.problems import WaitingParts, keep_night, keep_state, kept_night

OPTIMUM_USERS = 2000


def lay_out(night: NightOf, waiting: WaitingParts, people: int, number: int) -> None:
    """Draw a shard and put its night into the store."""
    first = number * people
    problem = night.problem(first, min(people, night.users - first))
    keep_night(waiting, number, ShardRounds.of(problem, night.limits()))


def do_step(waiting: WaitingParts, step: Step, number: int) -> dict[str, Any]:
    """Do a step on a shard, as `plan_dispatch` does."""
    before = kept_night(waiting, number)
    answer, after = step(before)
    if after is not before:
        keep_state(waiting, number, after)
    return answer


def value_of(night: ShardRounds) -> tuple[dict[str, Any], ShardRounds]:
    """Answer what a shard's plan is worth."""
    return {"value": int(night.held.bid[night.held.slot >= 0].sum())}, night


def solved_night(night: NightOf, people: int, folder: Path, cores: int) -> dict[str, float]:
    """Solve a night in shards; return its figures.

    Raises:
        InvalidInput: the plan exceeds a limit, or its bound: the figures would mean nothing.
    """
    waiting = WaitingParts(Lake.open(str(folder)), "plan")
    shards, passes = range(-(-night.users // people)), []
    spawn = multiprocessing.get_context("spawn")
    watch = Watch(os.getpid())
    with ProcessPoolExecutor(cores, mp_context=spawn) as pool:
        list(pool.map(partial(lay_out, night, waiting, people), shards))
        limits, sample = night.limits(), night.problem(0, min(SAMPLE_USERS, night.users))

        def run(step: Step) -> list[dict[str, Any]]:
            began = time.perf_counter()
            answers = list(pool.map(partial(do_step, waiting, step), shards))
            passes.append(time.perf_counter() - began)
            return answers

        watch.start()
        began = time.perf_counter()
        solved = solve(run, limits, sample, night.users / sample.n_users, report=progress)
        seconds = time.perf_counter() - began
        watch.over.set()
        watch.join()
        value = sum(answer["value"] for answer in pool.map(partial(do_step, waiting, value_of), shards))
    if (solved.used > limits.flat()).any() or value > solved.bound:
        raise InvalidInput("the plan exceeds a limit or its bound")
    return {
        "gap_pct": round(100.0 * (solved.bound - value) / solved.bound, 3),
        "pass_s": round(sum(passes), 1),
        "passes": len(passes),
        "price_fit_s": round(seconds - sum(passes), 1),
        "cpu_s": round(watch.cpu_s, 1),
        "peak_rss_gib": round(watch.peak_kib / 2**20, 2),
    }


def true_gap(night: NightOf) -> dict[str, float]:
    """Return a small night's gap to HiGHS's optimum, and the one its own bound claims."""
    limits, problem = night.limits(), night.problem(0, night.users)
    solved, choice = solve_here(problem, limits)
    value = int(choice.bid[choice.slot >= 0].sum())
    program, bound = optimum(problem, limits, solved.prices)
    progress(
        f"plan: {night.users} people: ours {value}, HiGHS {program:.0f} to {bound:.0f}, bound {solved.bound}"
    )
    # The program may lie a thousandth of a percent below the optimum, so its own bound is what counts.
    if not value <= bound or solved.bound < program * (1 - 1e-9):
        raise InvalidInput("HiGHS's optimum lies outside the plan and its bound")
    return {
        "true_gap_pct": round(100.0 * (bound - value) / bound, 3),
        "claimed_gap_pct": round(100.0 * (solved.bound - value) / solved.bound, 3),
    }


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks plan", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--users", type=int, default=1_000_000, help="number of people")
    parser.add_argument("--campaigns", type=int, default=20, help="campaigns of the night")
    parser.add_argument("--channels", type=int, default=3, help="at most 4")
    parser.add_argument("--capacity", type=float, default=1.0, help="multiplies every hour's capacity")
    parser.add_argument("--seed", type=int, default=7, help="seed of everything that is drawn")
    parser.add_argument("--shard-users", type=int, default=1 << 16, help="people in a shard")
    parser.add_argument("--cores", type=int, default=2, help="processes that solve")
    args = parser.parse_args(argv)
    if args.users < 10_000:
        raise InvalidInput("--users must be at least 10000")
    night = NightOf(args.users, args.campaigns, args.channels, args.capacity, args.seed)
    small = NightOf(OPTIMUM_USERS, args.campaigns, args.channels, args.capacity, args.seed)
    tenth = NightOf(args.users // 10, args.campaigns, args.channels, args.capacity, args.seed)
    ours: dict[str, float] = {}
    for each in (tenth, night):
        folder = Path(tempfile.mkdtemp(prefix="angelia-plan-"))
        try:
            before, ours = ours, solved_night(each, args.shard_users, folder, args.cores)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    ours |= true_gap(small) | {"scale_ratio": round(ours["cpu_s"] / max(before["cpu_s"], 0.1), 1)}
    return {"params": vars(args), "ours": ours, "peers": {}, "runs": 1}

"""How well people's hours are predicted, compared with what products use.

Each data set has a history, and days to predict. `--data` is `world` (four weeks of a simulated world, then a
week; all seeds form one crowd), a Parquet or CSV file with `user_id`, `event_ts` and `timezone`, or a folder
of KuaiRand or Online Retail (the last quarter of the days, at most four weeks, is predicted). Every method
gives shares of the hours of a workday and of a day off, and decides by its own shares. Every person weighs
the same, however active they are. `log_likelihood` is that of their active hours, `hit_at_1` and `hit_at_3`
are the shares of those hours that are the first or among the first three, and `within_3h` is the share of
their active days with activity in the three hours that begin with the most promising one. `_cold` counts only
people with fewer than five active hours of history. In the world, `response` is the true chance of an open at
the best hour between 8 and 22, divided by the mean of those hours, for our curves and for the peers' shares.
`gain` is ours less the peer's, with its 95 % interval from a bootstrap over people.

Example: `python -m benchmarks send_time --data world --seeds 101 --users 2000`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from angelia.errors import InvalidInput
from angelia.output import progress
from angelia.timing.choosing import QUARTERS
from angelia.timing.evidence import Floats
from benchmarks.harness.result import Result
from benchmarks.measured.send_time_data import HoursLog, from_world, read
from benchmarks.measured.send_time_methods import PEERS, by_day, ours

COLD_BELOW = 5
RESAMPLES = 1000
AWAKE = slice(8, 22)
Values = dict[str, Floats]  # metric -> (n,) one value a person, nan where there is none


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks send_time", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--data", default="world", help="`world`, a file, or a folder of a published set")
    parser.add_argument("--seeds", default="201,202", help="numbers of the worlds, separated by commas")
    parser.add_argument("--users", type=int, default=20_000, help="people of each world")
    args = parser.parse_args(argv)
    if not 500 <= args.users <= 200_000:
        raise InvalidInput("--users must be 500 to 200,000")
    is_world = args.data == "world"
    seeds = [int(word) for word in args.seeds.split(",")] if is_world else []
    parts, choices, left_out = [], [], {}
    for seed in seeds or [0]:
        log = from_world(seed, args.users, QUARTERS) if is_world else read(Path(args.data))
        values, choice = judged(log)
        parts.append(values)
        choices.append(choice)
        left_out = log.left_out
        progress(f"send_time: {args.data} {seed or ''}: {log.people:,} people judged")
    whole = {
        name: {metric: np.concatenate([part[name][metric] for part in parts]) for metric in parts[0][name]}
        for name in parts[0]
    }
    name = "world" if is_world else Path(args.data).name
    return {
        "params": {"data": name, "seeds": seeds, "users": args.users if is_world else log.people},
        "ours": means(whole["ours"]),
        "peers": {peer: {**means(whole[peer]), "gain": gains(whole["ours"], whole[peer])} for peer in PEERS},
        "runs": len(parts),
        "notes": {
            "people": int(np.isfinite(whole["ours"]["hit_at_1"]).sum()),
            "people_cold": int(np.isfinite(whole["ours"]["hit_at_1_cold"]).sum()),
            "chosen": choices,
            "left_out": left_out,
            "gain": f"ours less the peer's, and its 95 % interval by {RESAMPLES} resamples of people",
        },
    }


def judged(log: HoursLog) -> tuple[dict[str, Values], dict[str, Any]]:
    """Return everybody's values for ours and each peer, and what ours chose."""
    product = ours(log)
    later, soon, days = outcomes(log)
    is_cold = log.counts(0, log.cut).sum(axis=1) < COLD_BELOW
    results = {"ours": scored(product.habit, product.curve, log, later, soon, days, is_cold)}
    for name, method in PEERS.items():
        share = method(log)
        results[name] = scored(share, share, log, later, soon, days, is_cold)
    # Zero where the person's hours were never seen: an order of hours, not a distribution.
    for metric in ("log_likelihood", "log_likelihood_cold"):
        results["most_active_hour"].pop(metric)
    choice = product.choice
    return results, {"habit": vars(choice.habit), "strength": vars(choice.strength), "by": choice.by}


def outcomes(log: HoursLog) -> tuple[Floats, Floats, Floats]:
    """Return what happened after the cut.

    These are active hours (n, 2, 24); days with activity in the three hours from each hour, likewise; and
    active days, (n, 2).
    """
    here = log.day >= log.cut
    user, date, cell = log.user[here], log.date[here], log.cell[here]
    day = user * 100_000 + date
    distinct, place = np.unique(day, return_inverse=True)
    active = np.zeros((len(distinct), 48))
    active[place, cell % 24] = 1.0
    # The small hours of the next day belong to the three hours from ten or eleven in the evening.
    after = np.minimum(np.searchsorted(distinct, distinct + 1), max(len(distinct) - 1, 0))
    is_next = distinct[after] == distinct + 1 if len(distinct) else np.zeros(0, bool)
    active[is_next, 24:26] = active[after[is_next], :2]
    soon = np.maximum.reduce([active[:, step : 24 + step] for step in range(3)])
    kind = np.zeros(len(distinct), np.int64)
    kind[place] = cell // 24
    who = distinct // 100_000
    within, days = np.zeros((log.people, 2, 24)), np.zeros((log.people, 2))
    np.add.at(within, (who, kind), soon)
    np.add.at(days, (who, kind), 1.0)
    return by_day(log.counts(log.cut, log.days)), within, days


def scored(
    share: Floats,
    curve: Floats,
    log: HoursLog,
    later: Floats,
    soon: Floats,
    days: Floats,
    is_cold: np.ndarray,
) -> Values:
    """Return each person's value of every metric."""
    total = later.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        order = np.argsort(-share, axis=2, kind="stable")
        ranked = np.take_along_axis(later, order, 2)
        three = share + np.roll(share, -1, 2) + np.roll(share, -2, 2)
        best = three.argmax(axis=2)[:, :, None]
        values = {
            "log_likelihood": (later * np.log(share)).sum(axis=(1, 2)) / total,
            "hit_at_1": ranked[:, :, 0].sum(axis=1) / total,
            "hit_at_3": ranked[:, :, :3].sum(axis=(1, 2)) / total,
            "within_3h": np.take_along_axis(soon, best, 2).sum(axis=(1, 2)) / days.sum(axis=1),
        }
    if log.chance is not None:
        chance = by_day(log.chance)[:, :, AWAKE]
        chosen = np.take_along_axis(chance, curve[:, :, AWAKE].argmax(axis=2)[:, :, None], 2)[:, :, 0]
        week = np.array([5.0, 2.0])
        values["response"] = chosen @ week / (chance.mean(axis=2) @ week)
    cold = {f"{name}_cold": np.where(is_cold, value, np.nan) for name, value in values.items()}
    return values | cold


def means(values: Mapping[str, Floats]) -> dict[str, float]:
    """Return the mean of every metric over those who have it."""
    return {
        name: round(float(value[np.isfinite(value)].mean()), 4)
        for name, value in values.items()
        if np.isfinite(value).any()
    }


def gains(own: Mapping[str, Floats], peer: Mapping[str, Floats]) -> dict[str, list[float]]:
    """Return what ours gains over a peer by metric: the mean, and both ends of its interval."""
    rng = np.random.default_rng(0)
    row = {}
    for name, value in peer.items():
        difference = own[name] - value
        difference = difference[np.isfinite(difference)]
        n = len(difference)
        if n:
            drawn = [difference[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
            low, high = np.quantile(drawn, [0.025, 0.975])
            row[name] = np.round([difference.mean(), low, high], 4).tolist()
    return row

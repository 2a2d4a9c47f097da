"""Effects over nights: how often the intervals contain the truth that was planted.

In simulated months people of lasting, heavy-tailed taste buy night by night; a tenth are held out, and the
rest buy more often and for more. Each repetition draws new people, and the functions behind `angelia effects
over` read it after every night, by conversion and by money, with and without adjusting for history. The truth
is the expectation over millions of people. A second set without any effect shows how often somebody who looks
every day sees a false effect: with these intervals and, as the peer, with intervals for one look. `qini`
judges the uplift model's order of people that it has not seen. `mart_s` is the time of a month's marts of a
million people, in a process of its own.

Example: `python -m benchmarks effects --repetitions 50 --mart-people 0`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from angelia.effects.adjusting import Side, Track, track
from angelia.effects.power import Z_FIXED
from angelia.effects.sequences import F64, mixture, multiplier
from angelia.errors import InvalidInput
from angelia.output import progress
from benchmarks.harness.result import Result
from benchmarks.measured import effects_mart, effects_uplift

HISTORY_NIGHTS = 28
CAP = 120.0  # of a night's money: about one purchase in a hundred is above it
METRICS = ("converted", "revenue")
_TRUTH_PEOPLE = 4_000_000


@dataclass(frozen=True)
class Month:
    """What a simulated month is made of."""

    nights: int
    rate: float  # a night's mean chance of a purchase
    lift: float  # by how much being messaged raises it, relative
    dearer: float  # by how much it raises the money of a purchase, relative


def main(argv: Sequence[str]) -> Result:
    """Run the benchmark; return its result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks effects", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--people", type=int, default=8_000, help="people in a simulated month")
    parser.add_argument("--nights", type=int, default=28, help="nights to play")
    parser.add_argument("--repetitions", type=int, default=400, help="simulated months")
    parser.add_argument("--holdout-pct", type=float, default=10.0, help="per cent of the people held out")
    parser.add_argument(
        "--lift-pct", type=float, default=20.0, help="by how many per cent messages raise purchases"
    )
    parser.add_argument("--mart-people", type=int, default=1_000_000, help="0 leaves the marts out")
    parser.add_argument(
        "--uplift-people", type=int, default=200_000, help="people of the world for the uplift model"
    )
    parser.add_argument(
        "--uplift-repetitions", type=int, default=40, help="worlds in which everybody has the same lift"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    args = parser.parse_args(argv)
    if args.people < 100 or args.nights < 2 or args.repetitions < 2 or not 0 < args.holdout_pct < 100:
        raise InvalidInput(
            "--people is at least 100, --nights and --repetitions 2, --holdout-pct within 0 to 100"
        )
    began = time.perf_counter()
    month = Month(args.nights, 0.02, args.lift_pct / 100, args.lift_pct / 200)
    nothing = Month(args.nights, 0.02, 0.0, 0.0)
    truth = _truth(month, args.seed)
    progress(f"effects: the truth after {time.perf_counter() - began:.0f} s")
    planted = _repeat(month, args.people, args.holdout_pct / 100, args.repetitions, args.seed)
    progress(f"effects: {args.repetitions} months with an effect after {time.perf_counter() - began:.0f} s")
    null = _repeat(nothing, args.people, args.holdout_pct / 100, args.repetitions, args.seed + 1)
    ours: dict[str, float] = {}
    peer: dict[str, float] = {}
    for metric in METRICS:
        for kind in ("plain", "adjusted"):
            name = f"{metric}_{kind}"
            ours |= {
                f"{name}_{figure}": value for figure, value in _read(planted[name], truth[metric]).items()
            }
            once, always = _errs(null[name])
            ours[f"{name}_type1_daily_looks_pct"] = always
            peer[f"{name}_type1_daily_looks_pct"] = once
        plain, adjusted = planted[f"{metric}_plain"], planted[f"{metric}_adjusted"]
        ours[f"{metric}_narrower_pct"] = _pct(1 - adjusted.error[-1].mean() / plain.error[-1].mean())
    # The headline is the worst of the four: each metric, plain and adjusted.
    fixed = [value for name, value in ours.items() if name.endswith("coverage_fixed_pct")]
    headline = {
        "coverage_fixed_pct": max(fixed, key=lambda value: abs(value - 95.0)),
        "coverage_sequential_pct": min(v for k, v in ours.items() if k.endswith("coverage_sequential_pct")),
        "type1_daily_looks_pct": max(v for k, v in ours.items() if k.endswith("type1_daily_looks_pct")),
        "total_s": round(time.perf_counter() - began, 1),
    }
    learnt, usual = effects_uplift.measure(args.uplift_people, args.uplift_repetitions, args.seed)
    progress(f"effects: the uplift model after {time.perf_counter() - began:.0f} s")
    mart = effects_mart.measure(args.mart_people, args.nights, args.seed) if args.mart_people else {}
    return {
        "params": vars(args),
        "ours": headline | learnt | mart | ours,
        "peers": {"fixed_interval_every_day": peer, "ordered_by_response": usual},
        "runs": 1,
        "notes": {"truth": {metric: [float(v) for v in truth[metric][[0, -1]]] for metric in METRICS}},
    }


def _pct(share: float) -> float:
    return round(100 * float(share), 2)


def _read(line: Track, truth: F64) -> dict[str, float]:
    """Return coverage of the truth at the last and at every look, and the bias in errors."""
    off = np.abs(line.difference - truth[:, None])
    once = off[-1] <= Z_FIXED * line.error[-1]
    always = off <= multiplier(line.time, mixture(len(truth))) * line.error
    deviation = line.difference[-1] - truth[-1]
    return {
        "coverage_fixed_pct": _pct(once.mean()),
        "coverage_sequential_pct": _pct(always.all(axis=0).mean()),
        "bias_z": round(float(deviation.mean() / deviation.std(ddof=1) * np.sqrt(len(deviation))), 2),
    }


def _errs(line: Track) -> tuple[float, float]:
    """Return how often daily looks see an effect that is not there, fixed and ours."""
    z = np.abs(line.difference) / line.error
    wide = multiplier(line.time, mixture(len(z)))
    return _pct((z > Z_FIXED).any(axis=0).mean()), _pct((z > wide).any(axis=0).mean())


def _truth(month: Month, seed: int) -> dict[str, F64]:
    """Return the effect on each metric at each look, from many people seen on both sides."""
    rng = np.random.default_rng([seed, 1])
    sums = {metric: np.zeros(month.nights) for metric in METRICS}
    n, step = 0, 200_000
    while n < _TRUTH_PEOPLE:
        chance = _chances(rng, month, step)
        # The money of a purchase depends on neither person nor night: its mean, capped, is exact enough.
        draws = np.exp(rng.normal(2.5, 1.0, step))
        pushed, not_told = (float(np.minimum(draws * (1 + d), CAP).mean()) for d in (month.dearer, 0.0))
        raised = np.minimum(chance * (1 + month.lift), 1.0)
        for look in range(month.nights):
            never = (1 - chance) ** (look + 1) - (1 - raised) ** (look + 1)
            sums["converted"][look] += never.sum()
            sums["revenue"][look] += (look + 1) * (raised.sum() * pushed - chance.sum() * not_told)
        n += step
    return {metric: total / n for metric, total in sums.items()}


def _chances(rng: np.random.Generator, month: Month, n: int) -> F64:
    """Return each person's lasting chance of a purchase a night: a few buy much more than most."""
    return np.minimum(rng.gamma(0.6, month.rate / 0.6, n), 0.5)


def _repeat(month: Month, people: int, held: float, repetitions: int, seed: int) -> Mapping[str, Track]:
    """Return each metric's track, plain and adjusted, shape (nights, repetitions)."""
    rows: dict[tuple[str, bool], list[Side]] = {}
    for repetition in range(repetitions):
        rng = np.random.default_rng([seed, 2, repetition])
        chance = _chances(rng, month, people)
        is_held = rng.random(people) < held
        history = rng.binomial(HISTORY_NIGHTS, chance)
        raised = np.where(is_held, chance, np.minimum(chance * (1 + month.lift), 1.0))
        bought = rng.random((month.nights, people)) < raised
        amounts = np.zeros((month.nights, people))
        money = np.exp(rng.normal(2.5, 1.0, int(bought.sum())))
        dearer = np.broadcast_to(np.where(is_held, 1.0, 1.0 + month.dearer), bought.shape)[bought]
        amounts[bought] = np.minimum(money * dearer, CAP)
        spent_before = history * np.exp(rng.normal(2.5, 0.5, people))
        looks = {
            "converted": (np.maximum.accumulate(bought, axis=0).astype(np.float64), (history > 0) * 1.0),
            "revenue": (np.cumsum(amounts, axis=0), np.minimum(spent_before, CAP * 5)),
        }
        for metric, (y, x) in looks.items():
            for side in (True, False):
                own = is_held == side
                rows.setdefault((metric, side), []).append(moments(x[own], y[:, own]))
    tracks = {}
    for metric in METRICS:
        held_out, treated = (_stack(rows[metric, side]) for side in (True, False))
        for kind in ("plain", "adjusted"):
            tracks[f"{metric}_{kind}"] = track(treated, held_out, adjusted=kind == "adjusted")
    return tracks


def moments(x: F64, y: F64) -> Side:
    """Return a side's moments; x has shape (people,), y (nights, people).

    Everybody is in from the start.
    """
    n = float(y.shape[1])
    mean_x, mean_y = float(x.mean()), y.mean(axis=1)
    dx, dy = x - mean_x, y - mean_y[:, None]
    var_y = np.einsum("ij,ij->i", dy, dy) / (n - 1)
    cov_xy = dy @ dx / (n - 1)
    cov_py = np.concatenate([var_y[:1], np.einsum("ij,ij->i", dy[1:], dy[:-1]) / (n - 1)])
    same = np.ones_like(mean_y)
    var_x = same * float(dx @ dx / (n - 1))
    before = np.concatenate([cov_xy[:1], cov_xy[:-1]])
    return Side(n * same, mean_x * same, mean_y, var_x, var_y, cov_xy, var_x, before, cov_xy, cov_py)


def _stack(sides: Sequence[Side]) -> Side:
    return Side(
        **{
            name: np.stack([getattr(side, name) for side in sides], axis=1)
            for name in Side.__dataclass_fields__
        }
    )

"""Prices: the Lagrangian dual, minimised on a sample, corrected by what everybody wants.

Groups of people see prices that differ by a little (`choose.fees`): where two channels or hours are equally
good to a crowd, at equal prices the whole crowd would go to either; tilted prices split it, and the dual
becomes smooth enough for a quasi-Newton method. The certificate's bound is the dual at the plain prices: any
prices give a valid one, so an inexact descent costs quality, never truth.

The descent is written here, since a library's sums depend on the processor: these prices are the same on
every machine. Source: Nocedal, Wright: Numerical Optimization (2006), algorithm 7.4 (L-BFGS, two loops);
Bertsekas: Projected Newton methods (1982) for prices that may not fall below 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import fsum

import numpy as np
import numpy.typing as npt

from angelia.planning.choose import Packed, best_sets, dual_value, pack
from angelia.planning.problem import I64, Choice, Limits, Problem, count_of
from angelia.planning.routes.fees import GROUPS, Tilt

F64 = npt.NDArray[np.float64]

TILT = 0.02  # by how much the prices of groups differ
MEMORY = 20
UNREACHED = 2**39  # a limit above it is none
# Hours refuse a few of the messages that a minimum was to be reached with.
_MORE_THAN_LEAST = 1.02
_PAID_MOST = 8.0  # what a message is paid at most to reach a minimum, in units of a good message's worth


def usage(problem: Problem, limits: Limits, choice: Choice) -> I64:
    """Return how many messages use each constraint, (c*h + k + s*h,).

    The exploration stratum's are left out.
    """
    return count_of(problem.constraints(choice, problem.priced(choice), limits), limits)


def bound_of(problem: Problem, limits: Limits, prices: I64, packed: Packed | None = None) -> int:
    """Return people's part of the bound at these prices.

    `Limits.worth_of` is the other part.
    """
    return dual_value(problem, limits, prices, best_sets(problem, limits, prices, packed=packed))


@dataclass(frozen=True)
class Wishes:
    """What a sample wants at tilted prices: part of the dual, its slope, messages by limit.

    `slope` counts each message by the tilt its person sees.
    """

    value: int
    slope: F64
    used: I64


def wishes(
    problem: Problem, limits: Limits, prices: I64, choice: Choice, packed: Packed, tilt: Tilt
) -> Wishes:
    """Return what a choice at tilted prices says of the dual."""
    rows = problem.priced(choice)
    used, n = problem.constraints(choice, rows, limits), limits.n_constraints
    # By group; the last column is for no constraint.
    cell = packed.group[rows] * (n + 1) + np.where(used < 0, n, used)
    slope = tilt.slope(n)
    counts = np.bincount(cell.ravel(), minlength=len(slope) * (n + 1)).reshape(len(slope), -1)[:, :-1]
    value = int(choice.bid[rows].sum() - (counts * tilt.of(prices)).sum())
    # A sum in a fixed order: group by group.
    total = np.zeros(n)
    for count, of_group in zip(counts, slope, strict=True):
        total = total + count * of_group
    return Wishes(value, total, counts.sum(axis=0))


def unit_of(sample: Problem) -> float:
    """Return what a good message is worth: the ninth decile over open hours, 0 without any."""
    worth = sample.value[sample.allowed]
    return float(np.quantile(worth, 0.9)) if worth.size else 0.0


def tilt_of(sample: Problem) -> Tilt:
    """Return the tilt for a night of such people.

    Prices of 0 differ by a five-hundredth of a good message.
    """
    unit = unit_of(sample)
    return Tilt(TILT, max(0.002 * unit, min(GROUPS, 0.02 * unit)))


def fit_prices(
    problem: Problem,
    limits: Limits,
    scale: float,
    *,
    rounds: int = 80,
    start: I64 | None = None,
    missed: F64 | None = None,
    packed: Packed | None = None,
) -> I64:
    """Return prices in micro-units per message, (c*h + k + s*h,), fitted on a sample.

    The sample stands for `scale` times as many users. `start`: prices to begin with, yesterday's or those of
    an earlier fit. `missed`: messages that all people want beside what the sample says, by constraint.
    """
    packed = pack(problem, limits) if packed is None else packed
    unit, tilt = unit_of(problem), tilt_of(problem)
    if unit <= 0:
        return np.zeros(limits.n_constraints, np.int64)
    missed = np.zeros(limits.n_constraints) if missed is None else missed
    most, floor = limits.flat() - missed, limits.floor() * _MORE_THAN_LEAST - missed
    # A campaign with a minimum may be paid to send: its price is free to fall below 0.
    least = np.where(limits.floor() > 0, -_PAID_MOST, 0.0)
    size = max(float(most[most < UNREACHED].sum()), 1.0)
    best, best_dual = np.zeros(limits.n_constraints, np.int64), np.inf

    def dual(x: F64) -> tuple[float, F64]:
        nonlocal best, best_dual
        prices = np.rint(x * unit).astype(np.int64)
        choice = best_sets(problem, limits, prices, packed=packed, tilt=tilt)
        wanted = wishes(problem, limits, prices, choice, packed, tilt)
        demand = wanted.slope * scale
        figure = wanted.value * scale + dot(prices.astype(np.float64), np.where(prices > 0, most, floor))
        if figure < best_dual:
            best, best_dual = prices, figure
        # At price 0 between minimum and maximum nothing pulls.
        limit = np.where(prices > 0, most, floor)
        limit = np.where((prices == 0), np.clip(demand, floor, most), limit)
        limit = np.where((least == 0) & (prices == 0), most, limit)
        return figure / (unit * size), (limit - demand) / size

    descend(dual, np.zeros(len(least)) if start is None else np.maximum(start / unit, least), least, rounds)
    return best


def corrected(sample: Problem, limits: Limits, scale: float, prices: I64, used: I64, packed: Packed) -> I64:
    """Return prices for what everybody wants: the sample's luck is taken out.

    `used` is what everybody wants at these `prices`.
    """
    tilt = tilt_of(sample)
    choice = best_sets(sample, limits, prices, packed=packed, tilt=tilt)
    missed = used - wishes(sample, limits, prices, choice, packed, tilt).slope * scale
    return fit_prices(sample, limits, scale, rounds=20, start=prices, missed=missed, packed=packed)


def descend(dual: Callable[[F64], tuple[float, F64]], x: F64, least: F64, rounds: int) -> None:
    """Minimise a convex function above `least` by a projected L-BFGS.

    It is evaluated at most `rounds` times.
    """
    figure, slope = dual(x)
    steps: list[tuple[F64, F64]] = []
    failures, done = 0, 1
    while done < rounds and failures < 3:
        free = (x > least) | (slope < 0)
        if not slope[free].any():
            return
        way = _direction(slope, free, steps)
        # Old curvature may point uphill after a kink; steepest descent never does.
        if dot(way, slope) >= 0:
            steps.clear()
            way = _direction(slope, free, steps)
        length, is_lower = 1.0, False
        for _ in range(6):
            there = np.maximum(x + length * way, least)
            new, new_slope = dual(there)
            done += 1
            is_lower = new <= figure + 1e-4 * dot(slope, there - x)
            if is_lower or done >= rounds:
                break
            length *= 0.4
        step, change = there - x, new_slope - slope
        # Only a step along which the slope rose keeps the inverse curvature positive.
        if dot(step, change) > 1e-18:
            steps = [*steps[1 - MEMORY :], (step, change)]
        if is_lower:
            x, figure, slope, failures = there, new, new_slope, 0
        else:
            failures += 1
            # The newest step may still fit where all of them together do not.
            if failures == 2:
                steps = steps[-1:]


def _direction(slope: F64, free: npt.NDArray[np.bool_], steps: list[tuple[F64, F64]]) -> F64:
    way, used = np.where(free, slope, 0.0), []
    for step, change in reversed(steps):
        step, change = np.where(free, step, 0.0), np.where(free, change, 0.0)
        bend = dot(step, change)
        if bend > 1e-18:
            share = dot(step, way) / bend
            way = way - share * change
            used.append((step, change, bend, share))
    if used:
        step, change, bend, _ = used[0]
        way = way * (bend / dot(change, change))
    else:
        way = way * (0.3 / max(float(np.abs(way).max()), 1e-12))
    for step, change, bend, share in reversed(used):
        way = way + (share - dot(change, way) / bend) * step
    return np.where(free, -way, 0.0)


def dot(a: F64, b: F64) -> float:
    """Return the inner product, the same on every processor."""
    return fsum((a * b).tolist())

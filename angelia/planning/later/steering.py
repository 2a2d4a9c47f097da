"""Find the price at which a night refuses no more a message than a policy allows.

Grain: pair (user x campaign) by slot. `fatigue.refusals_at_most` limits refusals a message, in units of those
of the usual way: the same messages, each in its person's busiest hour as far as hours have room. The price is
centred: a message pays for the risk above the limit and earns by the risk below it, so that messages move to
hours and people with less risk and are hardly fewer. Only ratios of risks count: how often people refuse at
all, which few refusals tell badly, plays no part.

Source: Boyd, Vandenberghe: Convex Optimization (2004), section 5.5: the dual price of the constraint
sum(risk) <= limit * messages, by bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from angelia.planning.choose import best_sets, pack
from angelia.planning.later.fatigue import F64, I64, Fatigue, LaterCosts, rounded
from angelia.planning.prices import fit_prices, tilt_of
from angelia.planning.problem import Bools, Choice, Limits, Problem
from angelia.planning.terms import RefusalPrice

_PLACES = 20  # binary places of risks: their sums are exact, so all processors find the same price
FIRST, STEPS = 0.05, 9  # opens, and how often a sample is solved
LEFT = 0.5  # share of the messages that a price must leave


@dataclass(frozen=True)
class UsualHours:
    """Where messages go by the usual way: to the hour of most activity lately.

    Attributes:
        best: slot with the highest curve among the open ones, (m,).
        reach: how far on the way from a random open hour to that one people's busiest hours lie, (m,).
    """

    best: I64
    reach: F64

    @classmethod
    def of(cls, curve: F64, allowed: Bools, off: Bools, busiest: tuple[float, float]) -> UsualHours:
        """Return the hours of pairs that have an open slot.

        Args:
            curve: the person's response in each slot, (m, h).
            allowed: slots that are open to the message, (m, h).
            off: slots on a day off, (m, h).
            busiest: how far busiest hours lie, on workdays and on days off (`angelia.timing.busiest`).
        """
        share = (off & allowed).sum(axis=1) / np.maximum(allowed.sum(axis=1), 1)
        reach = rounded(busiest[0] + (busiest[1] - busiest[0]) * share, _PLACES)
        return cls(np.where(allowed, curve, -1.0).argmax(axis=1), reach)

    def risk(self, problem: Problem, rows: I64, units: I64, limits: Limits, scale: float) -> float:
        """Return the mean risk of messages that are sent so, in the units of `units`.

        Args:
            problem: of m pairs.
            rows: the pairs that are sent, (r,).
            units: risk of each pair and slot, (m, h).
            limits: of the night.
            scale: how many times as many people the night has.
        """
        is_open, best = problem.allowed[rows], self.best[rows]
        at_random = np.where(is_open, units[rows], 0).sum(axis=1) // is_open.sum(axis=1)
        # What an hour cannot take goes to any other one.
        wanted = np.bincount(best, minlength=problem.n_slots) * scale
        fits = float(np.minimum(wanted, limits.capacity.sum(axis=0)).sum() / wanted.sum())
        further = np.rint((units[rows, best] - at_random) * self.reach[rows]).astype(np.int64)
        return (int(at_random.sum()) + fits * int(further.sum())) / len(rows)


def risks(fatigue: Fatigue, felt: F64, curve: F64) -> F64:
    """Return the risk of a refusal, of somebody rested at a mean hour = 1, (m, h).

    People recover while they wait: what is felt in the middle of the day is felt more in the first hours and
    less in the last ones, so the same look is refused more seldom late than early.

    Args:
        fatigue: what was learned.
        felt: messages still felt in the middle of the planned day, (m,).
        curve: the person's response in each slot, which stands for looks, (m, h).
    """
    days = (np.arange(curve.shape[1]) + 0.5) / 24.0 - 0.5  # from the middle of the day
    fades = np.exp(-days / fatigue.tired_days)
    grows = np.exp(fatigue.refuses_more * np.log1p(felt[:, None] * fades))
    return rounded(np.maximum(curve, 0.0) * grows, _PLACES)


def centred(price: RefusalPrice, weight: F64, risk: F64, before: F64) -> F64:
    """Return what the risk costs a message in each slot, (m, h); below 0 where it earns.

    Args:
        price: of the risk.
        weight: worth of an open in micro-units, 0 for who pays nothing, (m,).
        risk: as `risks` returns it, (m, h).
        before: what messages are worth without this price, (m, h).
    """
    cost = (price.opens * weight)[:, None] * (risk / price.reference - price.at_most)
    # What is not worth sending is not sent to make the others look better.
    return np.asarray(np.where(before > 0, cost, np.maximum(cost, 0.0)))


def steered(
    costs: LaterCosts, fatigue: Fatigue, price: RefusalPrice | None, weight: F64, worth: F64, curve: F64
) -> LaterCosts:
    """Return costs that know the risk of refusals, and its price if there is one.

    Args:
        costs: without it.
        fatigue: what was learned.
        price: None = still to be found.
        weight: worth of an open in micro-units, 0 for who pays nothing, (m,).
        worth: of a message in each slot before costs, 0 where it may not go, (m, h).
        curve: the person's response in each slot, (m, h).
    """
    risk = risks(fatigue, costs.felt, curve)
    if price is None or not price.opens:
        return replace(costs, risk=risk)
    cost = centred(price, weight, risk, costs.net(worth))
    return replace(costs, risk=risk, by_hour=cost if costs.by_hour is None else costs.by_hour + cost)


def find_price(
    problem: Problem,
    risk: F64,
    weight: F64,
    usual: UsualHours,
    limits: Limits,
    scale: float,
    at_most: float,
    report: Callable[[str], None] = lambda line: None,
    waits: Bools | None = None,
) -> RefusalPrice | None:
    """Return the lowest price at which a sample's messages keep to the limit.

    None if no message is sent, or none has a risk.

    Args:
        problem: the sample's, without this price, as if no message waited for a later night.
        risk: of its pairs, (m, h).
        weight: of its pairs, 0 for who pays nothing, (m,).
        usual: hours in which the usual way sends them.
        limits: of the night.
        scale: how many times as many people the night has.
        at_most: risk a message, over that of the usual way.
        report: takes a line about what was found.
        waits: pairs whose message waits for a later night, (m,); the usual way waits for none.
    """
    units = np.rint(risk * 2.0**_PLACES).astype(np.int64)
    solve = _Solver(problem, limits, scale)
    rows, slots = solve.messages(problem, weight)
    if not len(rows):
        return None
    # The same people and campaigns, each at the hour that the usual way has for it.
    reference = usual.risk(problem, rows, units, limits, scale) / 2.0**_PLACES
    if not reference:
        return None

    def ratio(rows: I64, slots: I64) -> float:
        return int(units[rows, slots].sum()) / (max(len(rows), 1) * 2.0**_PLACES * reference)

    if waits is not None and waits.any():
        problem = replace(problem, allowed=problem.allowed & ~waits[:, None])
        rows, slots = solve.messages(problem, weight)
        if not len(rows):
            return None
    unpriced = ratio(rows, slots)
    low = free = RefusalPrice(0.0, reference, at_most, unpriced, unpriced)
    if unpriced <= at_most:
        return free
    # The least price that keeps to the limit lies between `low`, which does not, and `top`, which does.
    fewest, kept, top, opens = LEFT * len(rows), None, np.inf, FIRST
    for _ in range(STEPS):
        cost = centred(replace(free, opens=opens), weight, risk, problem.value.astype(np.float64))
        priced = replace(problem, value=np.rint(problem.value - cost).astype(np.int64))
        rows, slots = solve.messages(priced, weight)
        price = replace(free, opens=opens, ratio=ratio(rows, slots))
        # A limit that only silence keeps is no reason for silence.
        if len(rows) < fewest:
            top = opens
        elif price.ratio <= at_most:
            kept, top = price, opens
        else:
            low = price
        # Doubled until a price is high enough, then halved between.
        opens = 2.0 * opens if np.isinf(top) else (low.opens + top) / 2.0
    if kept is None:
        report(f"refusals a message stay {low.ratio:.3f} of the usual way's; {at_most:g} is not reached")
        return low
    report(
        f"a message pays {kept.opens:.4f} opens for the usual way's risk: refusals {unpriced:.3f} -> "
        f"{kept.ratio:.3f} of it"
    )
    return kept


class _Solver:
    """Solves a sample again and again, each time from the prices before."""

    def __init__(self, problem: Problem, limits: Limits, scale: float) -> None:
        self.limits, self.scale = limits, scale
        self.prices: npt.NDArray[np.int64] | None = None

    def messages(self, problem: Problem, weight: F64) -> tuple[I64, I64]:
        """Return the pairs that pay and are sent, and their slots, both (r,)."""
        packed = pack(problem, self.limits)
        # Prices differ little from one step of the search to the next.
        rounds = 80 if self.prices is None else 20
        self.prices = fit_prices(
            problem, self.limits, self.scale, rounds=rounds, start=self.prices, packed=packed
        )
        tilt = tilt_of(problem) if self.prices.any() else None
        choice: Choice = best_sets(problem, self.limits, self.prices, packed=packed, tilt=tilt)
        rows = np.flatnonzero((choice.slot >= 0) & (weight > 0))
        return rows, choice.slot[rows]

"""Prices: the Lagrangian dual, minimised on a deterministic sample of users by an averaged, projected
subgradient.

Source: Held, Wolfe, Crowder: Validation of subgradient optimization (1974); iterate averaging after
    Nemirovski and Yudin. The dual value of *any* non-negative prices bounds the optimum from above, so an
    inexact descent costs quality, never truth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from angelia.planning.choose import best_sets, dual_value
from angelia.planning.problem import I64, Choice, Limits, Problem


def usage(problem: Problem, limits: Limits, choice: Choice) -> I64:
    """Return how many messages use each constraint, shape (c*h + k,); the exploration stratum is not
    counted."""
    hours, campaigns = problem.constraints(choice, problem.priced(choice), limits)
    return np.bincount(np.concatenate([hours, campaigns]), minlength=limits.n_constraints).astype(np.int64)


def fit_prices(problem: Problem, limits: Limits, scale: float, *, rounds: int = 60) -> I64:
    """Return prices in micro-units per message, shape (c*h + k,), fitted on a sample that stands for `scale`
    times as many users.
    """
    limit = limits.flat().astype(np.float64)
    zero = np.zeros(limits.n_constraints, np.int64)
    choice = best_sets(problem, limits, zero)
    demand = usage(problem, limits, choice) * scale
    if not (demand > limit).any():
        return zero  # nothing is scarce
    worth = problem.value[problem.allowed]
    step = float(np.quantile(worth, 0.9)) if worth.size else 0.0
    price = np.zeros(limits.n_constraints)
    best, best_dual = zero, float("inf")
    average: npt.NDArray[np.float64] = np.zeros_like(price)
    for k in range(rounds):
        whole = np.rint(price).astype(np.int64)
        choice = best_sets(problem, limits, whole)
        dual = dual_value(problem, limits, whole, choice) * scale + float((whole * limit).sum())
        if dual < best_dual:
            best, best_dual = whole, dual
        demand = usage(problem, limits, choice) * scale
        # Relative overload, so that a small campaign and a large channel move alike; capped, so that one
        # empty limit cannot throw the rest.
        excess = np.clip((demand - limit) / np.maximum(limit, 1.0), -1.0, 1.0)
        price = np.maximum(price + step * excess / np.sqrt(k + 4.0), 0.0)
        if k >= rounds // 2:
            average += price / (rounds - rounds // 2)
    whole = np.rint(average).astype(np.int64)
    choice = best_sets(problem, limits, whole)
    dual = dual_value(problem, limits, whole, choice) * scale + float((whole * limit).sum())
    return whole if dual < best_dual else best

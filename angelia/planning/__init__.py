"""PLAN: one joint decision of who gets what, when and by which channel, under capacity.

Public face: `Problem`, `Limits`, `Choice` (problem.py); `solve_here` for a night in memory, `solve` for
    one in shards (decide.py); their steps `best_sets`, `dual_value` (choose.py), `fit_prices`, `usage`
    (prices.py). Pure functions on arrays; `spark_jobs/plan_dispatch.py` spreads them.
"""

from angelia.planning.choose import best_sets, dual_value
from angelia.planning.decide import MAX_ROUNDS, InMemory, Round, ShardRounds, Solved, Step, solve, solve_here
from angelia.planning.prices import bound_of, fit_prices, usage
from angelia.planning.problem import Choice, Limits, Problem

__all__ = [
    "MAX_ROUNDS",
    "Choice",
    "InMemory",
    "Limits",
    "Problem",
    "Round",
    "ShardRounds",
    "Solved",
    "Step",
    "best_sets",
    "bound_of",
    "dual_value",
    "fit_prices",
    "solve",
    "solve_here",
    "usage",
]

"""PLAN: one joint decision of who gets what, when and by which channel, under capacity.

Public face: `Problem`, `Limits`, `Choice` (problem.py), `fit_prices` (prices.py), `decide`, `final`, `Round`
    (decide.py), `next_round`, `is_settled`. Pure functions on the arrays of one shard;
    `spark_jobs/plan_dispatch.py` spreads them.
"""

from angelia.planning.admit import bid_histogram
from angelia.planning.choose import best_sets, dual_value
from angelia.planning.decide import MAX_ROUNDS, Round, decide, final, is_settled, next_round
from angelia.planning.prices import fit_prices, usage
from angelia.planning.problem import Choice, Limits, Problem

__all__ = [
    "MAX_ROUNDS",
    "Choice",
    "Limits",
    "Problem",
    "Round",
    "best_sets",
    "bid_histogram",
    "decide",
    "dual_value",
    "final",
    "fit_prices",
    "is_settled",
    "next_round",
    "usage",
]

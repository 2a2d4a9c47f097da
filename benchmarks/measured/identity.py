"""The sums that `benchmarks identity` compares.

Usage: `python -m benchmarks.measured.identity USERS`.

Without people (0) no night is solved.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np

from angelia.planning import InMemory, ShardRounds, solve
from angelia.planning.inputs import CURVE_BITS, SCORE_BITS, to_bits
from angelia.planning.later import Fatigue, later_costs
from benchmarks.nights.plan_night import SLOTS, NightOf, _uniform
from models.calibration import sigmoid
from spark_jobs.plan_dispatch import SAMPLE_USERS

LEARNED = Fatigue(tires=0.3, refuses=0.001, refuses_more=1.0, rate=0.4, tired_days=2.0)
PEOPLE, FEATURES, CAMPAIGNS = 20_000, 60, 4


def digest(*arrays: np.ndarray) -> str:
    """Return the sha256 of arrays' bytes."""
    digest_so_far = hashlib.sha256()
    for array in arrays:
        digest_so_far.update(np.ascontiguousarray(array).tobytes())
    return digest_so_far.hexdigest()


def plan(users: int, shard_bits: int, *, campaigns: int = 20, sampled: int = SAMPLE_USERS) -> str:
    """Return the sum of a drawn night's plan: prices, hours, channels and bids.

    Prices are fitted to `sampled` people.
    """
    night, width = NightOf(users, campaigns), 1 << shard_bits
    limits, sample = night.limits(), night.problem(0, min(sampled, users))
    starts = range(0, users, width)
    run = InMemory([ShardRounds.of(night.problem(lo, min(width, users - lo)), limits) for lo in starts])
    solved = solve(run, limits, sample, users / sample.n_users)
    held = [one.held for one in run.nights]
    parts = [np.concatenate([getattr(one, name) for one in held]) for name in ("slot", "channel", "bid")]
    return digest(solved.prices, *parts)


def arithmetic() -> dict[str, str]:
    """Return the sums of scores, curves and worth, and of scores and curves before rounding."""
    keys = np.arange(PEOPLE, dtype=np.uint64)
    cells = keys[:, None] * np.uint64(64)
    design = _uniform(cells + np.arange(FEATURES, dtype=np.uint64), "design") - 0.5
    weights = _uniform(np.arange(FEATURES, dtype=np.uint64), "weights") - 0.5
    score = sigmoid(design @ weights - 2.5)
    curve = np.exp(_uniform(cells + np.arange(SLOTS, dtype=np.uint64), "curve") - 0.5)
    curve /= curve.mean(axis=1, keepdims=True)
    # As score_materials writes them, and as the plan reads them.
    p_open, hours = to_bits(np.round(score, 9), SCORE_BITS), to_bits(curve, CURVE_BITS)
    user = np.repeat(np.arange(PEOPLE), CAMPAIGNS)
    money = np.tile(np.arange(1, CAMPAIGNS + 1) * 100_000, PEOPLE)
    at_mean = money * p_open[user]
    worth = at_mean[:, None] * hours[user]
    past = np.flatnonzero(_uniform(np.arange(6 * PEOPLE, dtype=np.uint64), "past") < 0.5)
    costs = later_costs(
        LEARNED, worth, at_mean, np.ones(len(user), bool), user,
        ["promo", "news"] * (len(user) // 2), past % PEOPLE, -1.0 - (past * 7 % 200), n_users=PEOPLE,
        weight=1.0, horizon_days=90,
    )  # fmt: skip
    return {
        "plain_score": digest(score),
        "plain_curve": digest(curve),
        "score": digest(p_open),
        "curve": digest(hours),
        "value": digest(np.rint(costs.net(worth)).astype(np.int64)),
    }


def main(users: int) -> dict[str, str]:
    """Return all sums."""
    plans = {f"plan_{bits}": plan(users, bits) for bits in (12, 14)} if users else {}
    return plans | arithmetic()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))))

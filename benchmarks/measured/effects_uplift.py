"""Whether the uplift model finds who is moved, in worlds whose lift by person is planted.

People have six traits. Two decide how likely they convert anyway, others what a message changes: it moves
some, does nothing to most and puts a few off. A tenth are held out. In the second world everybody gains the
same, so that no order is better than another. The peer orders people by how likely they convert, as a model
of responses does.
"""

from __future__ import annotations

import time

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from models.uplift.curves import ranking
from models.uplift.learning import HELD_PCT, train

NAMES = ("level", "habit", "moved", "put_off", "noise", "kind")
SHARE = 0.9
Floats = npt.NDArray[np.float64]


def world(
    n: int, seed: int, *, differs: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], Floats, Floats]:
    """Return (traits, treated, converted, lift) of n people."""
    rng = np.random.default_rng([seed, 11])
    traits = rng.normal(size=(n, 6)).astype(np.float32)
    traits[:, 5] = rng.integers(0, 4, n)
    chance = 1 / (1 + np.exp(2.5 - 0.7 * traits[:, 0] - 0.4 * traits[:, 1]))
    lift = np.full(n, 0.02)
    if differs:
        lift = 0.08 * (traits[:, 2] > 0.5) + 0.04 * (traits[:, 5] == 2) - 0.04 * (traits[:, 3] > 1.2)
    treated = rng.random(n) < SHARE
    converted = rng.random(n) < np.clip(chance + treated * lift, 0, 1)
    return traits, treated, converted.astype(np.float64), lift.astype(np.float64)


def measure(people: int, repetitions: int, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return our figures and the peer's."""
    began = time.perf_counter()
    traits, treated, converted, lift = world(people, seed, differs=True)
    model, read_out = train(traits, treated, converted, share=SHARE, names=NAMES, categorical=[5], seed=seed)
    took = time.perf_counter() - began
    held = np.random.default_rng([seed, 3]).random(people) * 100 < HELD_PCT  # as `train` keeps them
    response = lgb.train(
        {"objective": "binary", "num_leaves": 15, "verbosity": -1, "num_threads": 1, "seed": seed},
        lgb.Dataset(traits[~held], converted[~held]),
        num_boost_round=60,
    )
    by_response = np.asarray(response.predict(traits[held]), np.float64)
    own = treated[held], converted[held], SHARE, seed
    usual, best = ranking(by_response, *own), ranking(lift[held], *own)
    false = 0
    for repetition in range(repetitions):
        alike = world(people // 5, seed + 1 + repetition, differs=False)[:3]
        by_chance = train(*alike, share=SHARE, names=NAMES, categorical=[5], seed=seed)[1].ranking
        false += by_chance.low > 0
    error = [abs(row.predicted - row.realised) for row in read_out.deciles]
    ours = {
        "qini": round(read_out.ranking.qini, 5),
        "qini_low": round(read_out.ranking.low, 5),
        "qini_high": round(read_out.ranking.high, 5),
        "qini_of_best_pct": round(100 * read_out.ranking.qini / best.qini, 1),
        "qini_false_pct": round(100 * false / max(repetitions, 1), 1),
        "lift_correlation": round(float(np.corrcoef(model.score(traits[held]), lift[held])[0, 1]), 3),
        "decile_error": round(float(np.mean(error)), 4),
        "uplift_s": round(took, 1),
    }
    return ours, {"qini": round(usual.qini, 5), "qini_low": round(usual.low, 5)}

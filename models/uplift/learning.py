"""An X-learner on LightGBM: what a message changes, by person.

Pure functions of a feature matrix (n, features) float32, `treated` (n,) bool and `outcome` (n,). Two models
predict the outcome of each side; two more learn the difference between what somebody did and what the other
side's model expected of them, and are mixed by the probability of being treated. Source: Kunzel, Sekhon,
Bickel & Yu (2019), Metalearners for estimating heterogeneous treatment effects using machine learning, eqs.
8-11. It suits holdouts, whose sides differ much in size. Deterministic: the same arrays and seed give the
same scores.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from models.uplift.curves import Bools, Decile, Floats, Ranking, deciles, ranking

Matrix = npt.NDArray[np.float32]
HELD_PCT = 50  # of the people are kept from training: the interval is worth as much as the model
ROUNDS, LEAST = 60, 200


@dataclass(frozen=True)
class Uplift:
    """A trained model; `to_text` and `from_text` take it elsewhere."""

    on_treated: lgb.Booster
    on_control: lgb.Booster
    share: float  # probability of being treated, which mixes the two
    mean: float

    def score(self, matrix: Matrix) -> Floats:
        """Return what a message adds to each person's outcome, shape (n,)."""
        if not len(matrix):
            return np.zeros(0)
        of_treated = np.asarray(self.on_treated.predict(matrix, num_threads=1), np.float64)
        of_control = np.asarray(self.on_control.predict(matrix, num_threads=1), np.float64)
        # Eq. 11: the treated side's errors count where few are treated, and the reverse.
        return self.share * of_control + (1.0 - self.share) * of_treated

    def to_text(self) -> str:
        """Return the model as JSON text."""
        return json.dumps(
            {
                "on_treated": self.on_treated.model_to_string(),
                "on_control": self.on_control.model_to_string(),
                "share": self.share,
                "mean": self.mean,
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Uplift:
        """Return the model that `to_text` wrote."""
        raw = json.loads(text)
        boosters = [lgb.Booster(model_str=raw[name]) for name in ("on_treated", "on_control")]
        return cls(boosters[0], boosters[1], raw["share"], raw["mean"])


@dataclass(frozen=True)
class UpliftReadOut:
    """What the model is worth on people it has not seen."""

    ranking: Ranking
    deciles: tuple[Decile, ...]
    n_trained: int
    n_held: int
    n_held_control: int


def train(
    matrix: Matrix,
    treated: Bools,
    outcome: Floats,
    *,
    share: float,
    names: Sequence[str],
    categorical: Sequence[int],
    seed: int,
) -> tuple[Uplift, UpliftReadOut]:
    """Return a model of lift, and its read-out on the people kept from it.

    `share` is the probability with which a hash treats a person.
    """
    held = np.random.default_rng([seed, 3]).random(len(treated)) * 100 < HELD_PCT
    model = fit(matrix[~held], treated[~held], outcome[~held], share, names, categorical, seed)
    score = model.score(matrix[held])
    own = treated[held], outcome[held]
    read_out = UpliftReadOut(
        ranking(score, *own, share, seed),
        tuple(deciles(score, *own)),
        int((~held).sum()),
        int(held.sum()),
        int((~own[0]).sum()),
    )
    return model, read_out


def fit(
    matrix: Matrix,
    treated: Bools,
    outcome: Floats,
    share: float,
    names: Sequence[str],
    categorical: Sequence[int],
    seed: int,
) -> Uplift:
    """Return the model of these people."""

    def boost(rows: Bools, label: Floats, n: int) -> lgb.Booster:
        data = lgb.Dataset(
            matrix[rows],
            label,
            feature_name=list(names),
            categorical_feature=list(categorical),
            free_raw_data=True,
            params={"verbosity": -1},
        )
        return lgb.train(_parameters(seed, n), data, num_boost_round=ROUNDS)

    n = int(min(treated.sum(), (~treated).sum()))
    if_treated = boost(treated, outcome[treated], int(treated.sum()))
    if_not = boost(~treated, outcome[~treated], int((~treated).sum()))
    # Eqs. 8 and 9: imputed effects, each side against the other side's model.
    gained = outcome[treated] - np.asarray(if_not.predict(matrix[treated]), np.float64)
    missed = np.asarray(if_treated.predict(matrix[~treated]), np.float64) - outcome[~treated]
    mean = float(outcome[treated].mean() - outcome[~treated].mean()) if n else 0.0
    return Uplift(
        boost(treated, gained, int(treated.sum())),
        boost(~treated, missed, int((~treated).sum())),
        share,
        mean,
    )


def _parameters(seed: int, n: int) -> dict[str, object]:
    # Lift is far smaller than what it is seen through, so trees are few and leaves hold many people.
    return {
        "objective": "regression",
        "learning_rate": 0.05,
        "num_leaves": 7,
        "min_data_in_leaf": max(20, n // 40),
        "lambda_l2": 10.0,
        "cat_smooth": 100.0,
        "feature_fraction": 0.8,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }

"""Train a LightGBM model that tells a seed's people from the rest of the population.

Grain: user. Reads and writes nothing: tables in, scores out, for one shard at a time. The seed is everyone an
    operator's predicate selects; the fields that predicate names are left out of the model, or it would only
    learn the predicate again. Surprise: a score is a place between 0 and 65,535, not a
    probability; people of the seed in the sample of the population count as the population (the rest may be
    like them too).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.evaluate import auc
from models.features import CATEGORICAL, MAX_VALUES, MIN_COUNT, USER_COLUMNS, encode_users

Floats = npt.NDArray[np.float64]
COLUMNS = (*USER_COLUMNS, "tags")
LEVELS = 1 << 16
MAX_TAGS = 50
MIN_SEED = 100
HOLDOUT_PCT = 30
ROUNDS = 200
PARAMETERS = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "verbose": -1,
}


@dataclass(frozen=True)
class LookalikeReadOut:
    """The worth of a lookalike model, on people it was not trained on.

    Area under the ROC curve, lift of each tenth by score, features by gain.
    """

    auc: float
    lift_by_decile: list[float]
    top_features: list[tuple[str, float]]
    n_seed: int
    n_population: int

    def as_dict(self) -> dict[str, object]:
        """Return it for `--json` and for the commit."""
        return {
            "auc": round(self.auc, 4),
            "lift_by_decile": [round(lift, 3) for lift in self.lift_by_decile],
            "top_features": [
                {"feature": name, "gain_pct": round(share, 1)} for name, share in self.top_features
            ],
            "trained_on": {"seed": self.n_seed, "population": self.n_population},
        }


@dataclass(frozen=True)
class Lookalike:
    """A trained model; `to_text` and `from_text` take it to the workers."""

    booster: lgb.Booster
    vocabulary: Mapping[str, Sequence[str]]
    tags: Sequence[str]
    left_out: Sequence[str]

    def score(self, users: pa.Table) -> npt.NDArray[np.uint16]:
        """Return each user_features row's likeness, shape (n,), 0 to 65,535.

        Rows of one batch or another get the same score.
        """
        if not users.num_rows:
            return np.zeros(0, np.uint16)
        shares = np.asarray(
            self.booster.predict(_matrix(users, self.vocabulary, self.tags, self.left_out), num_threads=1),
            np.float64,
        )
        return np.minimum(shares * LEVELS, LEVELS - 1).astype(np.uint16)

    def to_text(self) -> str:
        """Return the model as JSON text."""
        document = {
            "model": self.booster.model_to_string(),
            "vocabulary": dict(self.vocabulary),
            "tags": self.tags,
            "left_out": self.left_out,
        }
        return json.dumps(document)

    @classmethod
    def from_text(cls, text: str) -> Lookalike:
        """Return the model that `to_text` told of."""
        document = json.loads(text)
        return cls(
            lgb.Booster(model_str=document["model"]),
            document["vocabulary"],
            document["tags"],
            document["left_out"],
        )


def train(
    seed: pa.Table, population: pa.Table, *, left_out: Collection[str], random_seed: int
) -> tuple[Lookalike, LookalikeReadOut]:
    """Return a model that tells seed rows from population rows, and its read-out.

    Rows are user_features with `COLUMNS`; the read-out is of a held-out part. `left_out` names the columns
    the model must not see: those the seed was selected by.
    """
    users = pa.concat_tables([seed.select(COLUMNS), population.select(COLUMNS)])
    label = np.concatenate((np.ones(seed.num_rows), np.zeros(population.num_rows)))
    vocabulary = {
        USER_COLUMNS[i]: _frequent(users[USER_COLUMNS[i]], MAX_VALUES)
        for i in CATEGORICAL
        if i < len(USER_COLUMNS)
    }
    tags = _frequent(pc.list_flatten(users["tags"]), MAX_TAGS)
    hidden = sorted(left_out)
    names = _names(tags, hidden)
    matrix = _matrix(users, vocabulary, tags, hidden)
    is_held = np.random.default_rng(random_seed).random(len(label)) * 100 < HOLDOUT_PCT
    categorical = [
        names.index(USER_COLUMNS[i])
        for i in CATEGORICAL
        if i < len(USER_COLUMNS) and USER_COLUMNS[i] in names
    ]
    data = lgb.Dataset(
        matrix[~is_held],
        label[~is_held],
        feature_name=names,
        categorical_feature=categorical,
        free_raw_data=True,
    )
    options = {
        **PARAMETERS,
        "seed": random_seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
    }
    booster = lgb.train(options, data, num_boost_round=ROUNDS)
    scores = np.asarray(booster.predict(matrix[is_held]), np.float64)
    gain = booster.feature_importance("gain")
    order = np.argsort(-gain, kind="stable")[:10]
    top = [(names[i], 100 * float(gain[i]) / max(float(gain.sum()), 1e-12)) for i in order if gain[i] > 0]
    read_out = LookalikeReadOut(
        auc(label[is_held], scores),
        lift_by_decile(label[is_held], scores),
        top,
        seed.num_rows,
        population.num_rows,
    )
    return Lookalike(booster, vocabulary, tags, hidden), read_out


def lift_by_decile(label: Floats, scores: Floats) -> list[float]:
    """Return each tenth's share of seed people over the share in all, highest scores first."""
    ordered = label[np.argsort(-scores, kind="stable")]
    mean = float(ordered.mean()) if len(ordered) else 0.0
    return [float(part.mean()) / mean if mean and len(part) else 0.0 for part in np.array_split(ordered, 10)]


def cut_off(counts: npt.NDArray[np.int64], size: int) -> tuple[int, int]:
    """Return (level, n): the top `size` are all above the level, and n of those at it.

    `counts`: people by score, shape (LEVELS,).
    """
    above = np.cumsum(counts[::-1])[::-1]  # above[l]: people at l or higher
    level = int(np.flatnonzero(above >= size)[-1]) if above[0] >= size else 0
    higher = int(above[level + 1]) if level + 1 < len(above) else 0
    return level, min(size - higher, int(counts[level]))


def _names(tags: Sequence[str], left_out: Sequence[str]) -> list[str]:
    names = [*USER_COLUMNS, *([] if "tags" in left_out else [f"tag_{i}" for i in range(len(tags))])]
    return [name for name in names if name not in left_out]


def _matrix(
    users: pa.Table, vocabulary: Mapping[str, Sequence[str]], tags: Sequence[str], left_out: Sequence[str]
) -> npt.NDArray[np.float32]:
    encoded = encode_users(users, vocabulary)
    kept = [i for i, name in enumerate(USER_COLUMNS) if name not in left_out]
    nobody = np.zeros(users.num_rows, dtype=bool)
    has = [] if "tags" in left_out else [encoded.tags.get(tag, nobody) for tag in tags]
    return np.column_stack([encoded.matrix[:, kept], *has]).astype(np.float32)


def _frequent(values: pa.ChunkedArray, limit: int) -> list[str]:
    counts = Counter(value for value in values.to_pylist() if value is not None)
    return [
        value for _, value in sorted((-n, value) for value, n in counts.items() if n >= MIN_COUNT)[:limit]
    ]

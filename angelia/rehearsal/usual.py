"""The click model of the usual product: boosted trees on person, campaign and material.

Grain: user x campaign x material. It sees a person's `user_features` and whether the material's category is
among the tags, but no affinities; LightGBM with the parameters this project began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from angelia.lake import Lake
from models.behaviour import PAIR_NUMBERS, USER_NUMBERS, Behaviour
from models.dataset import read_examples
from models.features import (
    CATEGORICAL,
    NAMES,
    Context,
    Vocabulary,
    encode_pairs,
    encode_rows,
    encode_users,
    learn_vocabulary,
)
from models.logistic import Floats
from models.train import default_cutoff, parameters

HIDDEN = [NAMES.index(name) for name in (*USER_NUMBERS, *PAIR_NUMBERS)]
TREES = 100


@dataclass(frozen=True)
class UsualModel:
    """Trees, and the vocabulary they were trained with."""

    booster: lgb.Booster
    vocabulary: Vocabulary

    @classmethod
    def train(cls, lake: Lake, ds: str) -> UsualModel:
        """Train on the same pushes that our model is trained on."""
        examples = read_examples(lake, ds=ds, cutoff=default_cutoff(lake, ds))
        vocabulary = learn_vocabulary(examples.rows)
        matrix = encode_rows(examples.rows, vocabulary)
        matrix[:, HIDDEN] = np.nan
        data = lgb.Dataset(
            matrix,
            examples.label,
            weight=examples.weight,
            feature_name=list(NAMES),
            categorical_feature=list(CATEGORICAL),
            params={"verbosity": -1},
        )
        # Worlds are lived side by side: threads that wait for each other would hold them all up.
        wanted = parameters(7, len(matrix)) | {"num_threads": 1}
        return cls(lgb.train(wanted, data, num_boost_round=TREES), vocabulary)

    def scores(self, users: pa.Table, rows: np.ndarray, contexts: Sequence[Context]) -> Floats:
        """Return the rate of some users for each material, (rows, materials)."""
        n = users.num_rows
        nothing = Behaviour((), {name: np.full(n, np.nan) for name in USER_NUMBERS}, {})
        encoded = encode_users(users, self.vocabulary, nothing)
        scores = np.zeros((len(rows), len(contexts)))
        for column, context in enumerate(contexts):
            matrix = encode_pairs(encoded, rows, context, self.vocabulary)
            matrix[:, HIDDEN] = np.nan
            scores[:, column] = self.booster.predict(matrix, num_threads=1)
        return scores

"""The scorer: which models it takes, and what a score is made of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from angelia.errors import Corrupt, InvalidInput
from models import features
from models.scorer import Scorer, features_json
from models.train import boost, train

DS, CUTOFF = "2026-11-14", "2026-11-07"


def test_the_scorer_refuses_other_features(week, registry, monkeypatch) -> None:
    files = registry.load(train(week, registry, ds=DS, cutoff=CUTOFF, trees=5).version)
    declared = json.loads(files["features.json"])
    for change in (
        {"version": features.VERSION + 1},
        {"features": declared["features"][:-1]},
        {"features": declared["features"][::-1]},
    ):
        with pytest.raises(InvalidInput, match="feature list"):
            Scorer(files | {"features.json": json.dumps(declared | change).encode()})
    noise = np.random.default_rng(0).random((200, len(features.FEATURES))).astype(np.float32)
    label, even = np.arange(200) % 2.0, np.ones(200)
    trees = boost(noise, label, even, np.zeros(200), slice(0, 200), None, seed=1, trees=2).model_to_string()
    known = np.where(np.isin(np.arange(noise.shape[1]), features.CATEGORICAL), np.nan, noise)
    scorer = Scorer(files | {"model.txt": trees.encode()})
    names, parts = scorer.parts(known.astype(np.float32))
    assert len(names) == parts.shape[1] > len(features.NAMES)
    rest = scorer.calibration.slope * scorer.raw(known.astype(np.float32)) - parts.sum(axis=1)
    assert np.ptp(rest) < 1e-6  # the trees' share of each feature is counted, too
    with pytest.raises(InvalidInput, match=r"model\.txt has other features"):
        Scorer(files | {"model.txt": trees.replace("age_years", "shoe_size").encode()})
    with pytest.raises(Corrupt, match=r"model\.txt"):
        Scorer(files | {"model.txt": b"tree\nnonsense"})
    assert features_json()["version"] == features.VERSION

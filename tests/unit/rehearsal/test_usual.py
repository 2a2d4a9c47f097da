"""The usual product's model sees who somebody is and what is sent, but no affinities."""

from __future__ import annotations

import numpy as np

from angelia.rehearsal.policies import PolicyView
from angelia.rehearsal.usual import HIDDEN
from models.features import NAMES, PAIR_NUMBERS, USER_NUMBERS
from models.scorer import COLUMNS


def test_no_tree_splits_on_what_is_hidden(night: PolicyView) -> None:
    model = night.site.usual
    assert model is not None
    splits = model.booster.feature_importance("split")
    assert splits.sum() > 0
    assert {NAMES[number] for number in HIDDEN} == {*USER_NUMBERS, *PAIR_NUMBERS}
    assert splits[HIDDEN].sum() == 0


def test_everybody_has_a_rate_for_each_material(night: PolicyView) -> None:
    model, contexts = night.site.usual, list(night.contexts.values())[:3]
    assert model is not None
    users = night.site.lake.read(night.inputs.features, ["ordinal", *COLUMNS]).sort_by("ordinal")
    rows = np.array([5, 0, 7])
    scores = model.scores(users, rows, contexts)
    assert scores.shape == (3, 3)
    assert ((scores > 0) & (scores < 1)).all()
    assert (model.scores(users, rows[::-1], contexts) == scores[::-1]).all()

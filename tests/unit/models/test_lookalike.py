"""Lookalike models: the measures by hand, the cut-off exactly, and a planted likeness.

The likeness is learned without the fields the seed was chosen by.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.contracts import arrow, dataset
from models.lookalike import COLUMNS, LEVELS, Lookalike, cut_off, lift_by_decile, train


def people(n: int, seed: int) -> pa.Table:
    """Return user_features rows; the young have the tag `games`, the rest means nothing."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    for field in arrow.schema(dataset("user_features")):
        if field.name == "tags":
            continue
        if pa.types.is_string(field.type):
            columns[field.name] = pa.array(rng.choice(["a", "b", "c"], n))
        elif pa.types.is_list(field.type):
            columns[field.name] = pa.array([[]] * n, field.type)
        elif pa.types.is_boolean(field.type):
            columns[field.name] = pa.array(rng.random(n) < 0.5)
        else:
            columns[field.name] = pa.array(rng.integers(0, 50, n)).cast(field.type)
    ages = rng.integers(15, 75, n)
    columns["age_years"] = pa.array(ages.astype(np.int16))
    columns["tags"] = pa.array([["games"] if age < 30 else ["news"] for age in ages.tolist()])
    return pa.table(columns)


def test_lift_by_decile() -> None:
    label = np.array([1.0] * 5 + [0.0] * 45)
    assert lift_by_decile(label, np.arange(50.0, 0, -1)) == pytest.approx([10.0] + [0.0] * 9)
    assert sum(lift_by_decile(label, np.ones(50))) == pytest.approx(10.0)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    scores=st.lists(st.integers(0, 9) | st.integers(LEVELS - 3, LEVELS - 1), min_size=1, max_size=60),
    data=st.data(),
)
def test_cut_off_is_the_top(scores: list[int], data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(scores)))
    level, at_level = cut_off(np.bincount(scores, minlength=LEVELS), size)
    assert sum(score > level for score in scores) + at_level == size
    assert 0 <= at_level <= scores.count(level)
    top = sorted(scores, reverse=True)[:size]
    assert sorted([score for score in scores if score > level] + [level] * at_level, reverse=True) == top


def test_a_planted_likeness_is_found_without_the_seeds_own_field() -> None:
    everyone = people(6000, 1)
    is_young = np.asarray(everyone["age_years"]) < 30
    model, read_out = train(
        everyone.filter(pa.array(is_young)),
        everyone.filter(pa.array(~is_young)),
        left_out={"age_years"},
        random_seed=1,
    )
    assert read_out.auc > 0.99
    assert read_out.top_features[0][0] in ("tag_0", "tag_1")
    assert "age_years" not in model.booster.feature_name()
    others = people(500, 2)
    scores = model.score(others)
    young = np.asarray(others["age_years"]) < 30
    assert scores[young].min() > scores[~young].max()


def test_chance_is_told_as_chance() -> None:
    everyone = people(4000, 3)
    is_seed = np.random.default_rng(4).random(4000) < 0.3
    _, read_out = train(
        everyone.filter(pa.array(is_seed)), everyone.filter(pa.array(~is_seed)), left_out=set(), random_seed=1
    )
    assert 0.44 < read_out.auc < 0.56


def test_scores_are_the_same_in_any_batch_and_after_travelling() -> None:
    everyone = people(2000, 5)
    model, _ = train(everyone.slice(0, 500), everyone.slice(500), left_out={"gender", "tags"}, random_seed=7)
    again, _ = train(everyone.slice(0, 500), everyone.slice(500), left_out={"gender", "tags"}, random_seed=7)
    there = Lookalike.from_text(model.to_text())
    whole = model.score(everyone.select(COLUMNS))
    assert (whole == again.score(everyone)).all()
    assert (
        whole == np.concatenate([there.score(everyone.slice(0, 33)), there.score(everyone.slice(33))])
    ).all()
    assert len(there.score(everyone.slice(0, 0))) == 0
    assert not {"gender", "tag_0"} & set(model.booster.feature_name())

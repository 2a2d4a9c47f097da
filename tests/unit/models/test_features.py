"""Features as numbers: places in a vocabulary, what is unknown, and pairs as rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.features import (
    FEATURES,
    MAX_SENT,
    MAX_VALUES,
    MIN_COUNT,
    NAMES,
    USER_COLUMNS,
    encode_rows,
    encode_users,
    learn_vocabulary,
)

CATEGORIES = [feature.name for feature in FEATURES if feature.kind == "category"]
EMPTY: dict[str, list[str]] = {name: [] for name in CATEGORIES}


def rows(n: int, **columns: list[Any]) -> pa.Table:
    """Return examples in which everything is missing but the given columns."""
    table: dict[str, pa.Array] = {}
    for feature in FEATURES:
        if feature.name != "is_category_in_tags":
            kind = pa.string() if feature.kind == "category" else pa.float64()
            table[feature.name] = pa.array(columns.get(feature.name, [None] * n), kind)
    table["tags"] = pa.array(columns.get("tags", [None] * n), pa.list_(pa.string()))
    return pa.table(table)


def test_a_value_counts_from_twenty_on_the_frequent_first() -> None:
    cities = ["rare"] * (MIN_COUNT - 1) + ["b"] * MIN_COUNT + ["a"] * MIN_COUNT + ["most"] * 30 + [None] * 40
    learned = learn_vocabulary(rows(len(cities), province=cities))
    assert learned["province"] == ["most", "a", "b"]
    assert learned["country"] == []
    assert set(learned) == set(CATEGORIES)


def test_a_vocabulary_has_a_bound() -> None:
    names = [f"v{n:03d}" for n in range(MAX_VALUES + 5) for _ in range(MIN_COUNT)]
    assert len(learn_vocabulary(rows(len(names), province=names))["province"]) == MAX_VALUES


def test_what_was_sent_is_never_lost() -> None:
    names = [f"m{n:03d}" for n in range(MAX_VALUES + 50)]
    learned = learn_vocabulary(rows(len(names), material_id=names, campaign_id=names))
    assert learned["material_id"] == learned["campaign_id"] == names
    many = [f"m{n:04d}" for n in range(MAX_SENT)] * 2 + ["seldom"]
    assert len(learn_vocabulary(rows(len(many), material_id=many))["material_id"]) == MAX_SENT


def test_what_the_vocabulary_lacks_is_missing_like_no_value() -> None:
    matrix = encode_rows(rows(4, province=["b", "a", "new", None]), {**EMPTY, "province": ["a", "b"]})
    column = matrix[:, NAMES.index("province")]
    assert column[:2].tolist() == [1.0, 0.0]
    assert np.isnan(column[2:]).all()
    assert matrix.shape == (4, len(FEATURES))


@pytest.mark.parametrize(
    ("tags", "category", "matches"),
    [(["camera", "food"], "camera", 1.0), (["food"], "camera", 0.0),
     ([], "camera", 0.0), (None, "camera", 0.0),
     (["camera"], None, 0.0), ([None, "camera"], "camera", 1.0)],
)  # fmt: skip
def test_a_tag_matches_the_materials_category(tags: Any, category: str | None, matches: float) -> None:
    # A row between others: the owner of a tag is found by its place in the flattened list.
    table = rows(3, tags=[["camera"], tags, None], category=["food", category, "food"])
    assert encode_rows(table, EMPTY)[:, NAMES.index("is_category_in_tags")].tolist() == [0.0, matches, 0.0]


def test_users_are_encoded_with_who_has_a_tag() -> None:
    table = rows(3, tags=[["camera"], None, ["food", "camera"]], age_years=[30, None, 50])
    users = encode_users(table, EMPTY)
    assert {tag: flags.tolist() for tag, flags in users.tags.items()} == {
        "camera": [True, False, True],
        "food": [False, False, True],
    }
    ages = users.matrix[:, USER_COLUMNS.index("age_years")]
    assert (ages[0], ages[2], bool(np.isnan(ages[1]))) == (30.0, 50.0, True)
    assert len(encode_users(table.slice(0, 0), EMPTY)) == 0


def test_a_features_name_stands_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert json.loads(json.dumps(list(NAMES))) == list(NAMES)

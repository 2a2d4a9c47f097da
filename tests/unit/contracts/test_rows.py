"""The row factory: deterministic, keyed, and consistent between datasets."""

import pytest
from pyroaring import BitMap

from angelia.contracts import CONTRACTS
from angelia.contracts.rows import user_name, valid_rows


@pytest.mark.parametrize("name", CONTRACTS)
def test_same_arguments_same_rows_and_unique_keys(name: str) -> None:
    table = valid_rows(name, 300, seed=3)
    assert table.equals(valid_rows(name, 300, seed=3))
    assert table.schema.names == CONTRACTS[name].names
    keys = list(zip(*(table[column].to_pylist() for column in CONTRACTS[name].key), strict=True))
    assert len(set(keys)) == 300
    assert valid_rows(name, 0).num_rows == 0


def test_another_seed_and_another_day_give_other_rows() -> None:
    assert not valid_rows("user_events", 50, seed=1).equals(valid_rows("user_events", 50, seed=2))
    assert not valid_rows("user_events", 50, ds="2026-11-13").equals(valid_rows("user_events", 50))


def test_user_i_has_ordinal_i_everywhere() -> None:
    index = valid_rows("user_index", 40).to_pylist()
    assert [row["user_id"] for row in index] == [user_name(row["ordinal"]) for row in index]
    for name in ("user_features", "decisions", "dispatch_manifest"):
        assert all(row["user_id"] == user_name(row["ordinal"]) for row in valid_rows(name, 40).to_pylist())


@pytest.mark.parametrize("name", ["bitmap_index", "audience_members"])
def test_bitmaps_are_roaring_with_the_stated_cardinality(name: str) -> None:
    for row in valid_rows(name, 60).to_pylist():
        assert len(BitMap.deserialize(row["bitmap"])) == row["cardinality"]

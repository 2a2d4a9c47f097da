"""The writers' row check: it refuses what cannot be cast, without showing it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.errors import InvalidInput


def test_a_value_that_cannot_be_cast_is_not_shown() -> None:
    contract = dataset("user_profiles")
    rows = valid_rows("user_profiles", 3)
    position = rows.schema.get_field_index("birth_year")
    wrong = rows.set_column(position, "birth_year", pa.array(["leak@mail.example"] * 3))
    with pytest.raises(
        InvalidInput, match="birth_year: a value of type string cannot become int16"
    ) as refused:
        arrow.conform(wrong, contract)
    assert "leak" not in refused.value.one_line()


def test_a_column_that_is_named_twice_comes_once() -> None:
    rows = pa.table({"user_id": ["u1"], "ordinal": pa.array([0], pa.uint32())})
    names = ["ordinal", "user_id", "ordinal"]
    assert arrow.names_in(rows.column_names, names, None, "x") == names
    assert arrow.filled(rows, names, None).column_names == ["ordinal", "user_id"]


def test_a_file_of_an_older_contract_names_who_writes_it() -> None:
    features = dataset("user_features")
    have = [column.name for column in features.columns if column.name not in ("country", "uplift_score")]
    assert arrow.names_in(have, ["ordinal", "uplift_score"], features, "x") == ["ordinal"]
    with pytest.raises(InvalidInput) as refused:
        arrow.names_in(have, ["ordinal", "country"], features, "x")
    assert refused.value.one_line() == (
        f"x has no column country; it has {len(have)} others; if an older release wrote it, "
        "write it again: build_features"
    )


def test_rows_are_copied_only_where_some_go_or_move() -> None:
    rows = pa.table({"ordinal": pa.array([4, 5, 9], pa.uint32()), "name": ["a", "b", "c"]})
    assert arrow.where(rows, pa.array([True] * 3)) is rows
    assert arrow.where(rows, pa.array([True, False, True]))["name"].to_pylist() == ["a", "c"]
    assert arrow.where(rows.slice(0, 0), pa.array([], pa.bool_())).num_rows == 0
    assert arrow.by_ordinal(rows) is rows
    assert arrow.by_ordinal(rows.take([2, 0, 1]))["name"].to_pylist() == ["a", "b", "c"]
    assert arrow.by_ordinal(rows.slice(0, 0)).num_rows == 0

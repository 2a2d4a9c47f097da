"""Rows are found by the texts of one column, also where hashes agree."""

from __future__ import annotations

import pyarrow as pa
import pytest

from angelia.users import remembered
from angelia.users.remembered import RememberedRows

TABLE = pa.table({"id": ["a", "b", "a", None, "c"], "n": [0, 1, 2, 3, 4]})


def numbers(rows: pa.Table) -> list[int]:
    return sorted(rows["n"].to_pylist())


def test_every_row_of_a_text_is_found_once() -> None:
    rows = RememberedRows(pa.concat_tables([TABLE, TABLE.slice(4)]), "id")
    assert numbers(rows.of(["a", "c", "a", "z"])) == [0, 2, 4, 4]
    assert numbers(rows.of(["z"])) == numbers(rows.of([])) == []


def test_rows_of_one_text_keep_their_order() -> None:
    assert RememberedRows(TABLE, "id").of(["a"])["n"].to_pylist() == [0, 2]


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "hashed", lambda texts: pa.array([7] * len(texts)).to_numpy())
    assert numbers(RememberedRows(TABLE, "id").of(["b", "c"])) == [1, 4]


def test_a_table_without_rows_has_nothing() -> None:
    assert RememberedRows(TABLE.slice(0, 0), "id").of(["a"]).num_rows == 0

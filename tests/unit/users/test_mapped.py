"""Rows on disk are found by the texts of any of their columns; the file has no name."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia.users import mapped, remembered
from angelia.users.mapped import MappedRows

TABLE = pa.table({"id": ["a", "b", "a", None, "c"], "of": ["x", "y", "z", "x", "x"], "n": [0, 1, 2, 3, 4]})


def rows(*tables: pa.Table) -> MappedRows:
    return MappedRows(tables, ("id", "of"), TABLE.schema)


def test_every_row_of_a_text_is_found_once_in_its_order() -> None:
    two = rows(TABLE, TABLE.slice(4), TABLE)
    assert two.of("id", ["c", "a", "a", "none"])["n"].to_pylist() == [0, 2, 4, 4, 0, 2, 4]
    assert two.of("of", ["x"])["n"].to_pylist() == [0, 3, 4, 4, 0, 3, 4]
    assert (
        two.of("id", []).num_rows == two.of("id", ["none"]).num_rows == rows().of("id", ["a"]).num_rows == 0
    )


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(texts: Sequence[str]) -> Any:
        return pa.array([7] * len(texts), pa.uint64()).to_numpy()

    for module in (mapped, remembered):
        monkeypatch.setattr(module, "hashed", same)
    assert rows(TABLE).of("id", ["b", "c"])["n"].to_pylist() == [1, 4]


def test_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = rows(TABLE)
    assert list(tmp_path.iterdir()) == []
    assert kept.of("id", ["b"])["n"].to_pylist() == [1]

"""Files as they come: odd names, packed, in parts that do not fit each other."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.lake import Lake

DS = "2026-11-14"


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def imported(tmp_path: Path, lake: Lake, *files: Path, **declared: Any) -> list[dict[str, Any]]:
    columns = {"user_id": "id", "province": "province"}
    outputs = [{"dataset": "user_profiles", "input": "people", "columns": columns}]
    document = tmp_path / "mapping.yaml"
    inputs = {"people": {"match": "*", **declared}}
    document.write_text(json.dumps({"name": "m", "inputs": inputs, "outputs": outputs}))
    run_import(load_settings(), document, files, ds=DS)
    rows: list[dict[str, Any]] = lake.read(lake.require("user_profiles", ds=DS)).to_pylist()
    return rows


@pytest.mark.parametrize(
    "name", ["o'neil's.parquet", "'; DROP TABLE x; --.parquet", 'a "b" c.PARQUET', "müller.parquet"]
)
def test_a_file_may_be_called_anything(tmp_path: Path, lake: Lake, name: str) -> None:
    pq.write_table(pa.table({"id": ["u1"], "province": ["a'b"]}), tmp_path / name)
    assert imported(tmp_path, lake, tmp_path / name)[0]["province"] == "a'b"
    (commit,) = [lake.require("user_profiles", ds=DS)]
    assert list(commit.meta["files"]) == [name]


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        ("id,province\nu1,köln\n".encode(), {}),
        ("id,province\r\nu1,köln\nu2,x\r\n".encode(), {}),
        ("sep=;\nid;province\nu1;köln\n".encode(), {}),
        ("id,province\nu1,köln\n".encode("cp1252"), {"encoding": "windows-1252"}),
        ("id,province\nu1,köln\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
@pytest.mark.parametrize("ending", [".csv.gz", ".CSV.GZ", ".csv"])
def test_a_packed_file_is_read_like_a_plain_one(
    tmp_path: Path, lake: Lake, data: bytes, declared: dict[str, Any], ending: str
) -> None:
    path = tmp_path / f"people{ending}"
    path.write_bytes(gzip.compress(data) if ending.lower().endswith("gz") else data)
    assert imported(tmp_path, lake, path, **declared)[0]["province"] == "köln"


def test_files_of_other_columns_are_told_apart_by_number(tmp_path: Path, lake: Lake) -> None:
    first, second, third = (tmp_path / f"people{n}.csv" for n in range(3))
    first.write_text("id,province\nu1,a\n")
    second.write_text("id,leak@mail.example\nu2,a\n")
    third.write_text("id\nu3\n")
    with pytest.raises(InvalidInput) as refused:
        imported(tmp_path, lake, first, second)
    assert refused.value.message == "people1.csv has other columns than people0.csv: number 2 of 2"
    with pytest.raises(InvalidInput, match=r"people2\.csv has 1 columns, people0\.csv has 2"):
        imported(tmp_path, lake, first, third)

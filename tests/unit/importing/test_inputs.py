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


@pytest.mark.parametrize("column", ["id", {"from": "id", "transform": ["trim"]}, {"template": "c{id}"}])
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_an_id_is_no_number_with_a_fraction(
    tmp_path: Path, lake: Lake, column: Any, kind: pa.DataType
) -> None:
    # What pandas makes of whole numbers as soon as one is missing: 17 would be another person here.
    pq.write_table(
        pa.table({"id": pa.array([17, 18], kind), "at": ["2026-11-01"] * 2}), tmp_path / "a.parquet"
    )
    document = tmp_path / "mapping.yaml"

    def by(user: Any) -> list[str]:
        columns = {"user_id": user, "signup_ts": "at"}
        outputs = [{"dataset": "user_profiles", "input": "people", "columns": columns}]
        document.write_text(json.dumps({"name": "m", "inputs": {"people": "*"}, "outputs": outputs}))
        run_import(load_settings(), document, [tmp_path / "a.parquet"], ds=DS)
        ids: list[str] = lake.read(lake.require("user_profiles", ds=DS))["user_id"].to_pylist()
        return ids

    with pytest.raises(InvalidInput, match=r"user_profiles\.user_id: column 1 holds numbers with a fraction"):
        by(column)
    assert by({"from": "id", "type": "int"}) == ["17", "18"]
    assert by({"from": "id", "type": "string"}) == ["17.0", "18.0"]


@pytest.mark.parametrize("floats", [("orders",), ("people",), ("orders", "people")])
def test_keys_join_as_numbers_where_one_has_a_fraction(
    tmp_path: Path, lake: Lake, floats: tuple[str, ...]
) -> None:
    orders = {"customer": ["17", "18", "20"], "at": ["2026-11-01"] * 3}
    people = {"id": ["17", "17", "18"], "name": ["u1", "again", "u2"]}
    for name, column, table in (("orders", "customer", orders), ("people", "id", people)):
        key = pa.array([float(text) for text in table[column]]) if name in floats else pa.array(table[column])
        pq.write_table(pa.table({**table, column: key}), tmp_path / f"{name}.parquet")
    output = {
        "dataset": "user_profiles",
        "input": "orders",
        "join": [{"input": "people", "keys": {"customer": "id"}}],
        "columns": {"user_id": "people.name", "signup_ts": "at"},
    }
    document = tmp_path / "mapping.yaml"
    inputs = {name: f"{name}*" for name in ("orders", "people")}
    document.write_text(json.dumps({"name": "m", "inputs": inputs, "outputs": [output]}))
    files = [tmp_path / "orders.parquet", tmp_path / "people.parquet"]
    result = run_import(load_settings(), document, files, ds=DS, max_reject_pct=50.0)
    assert result["outputs"][0]["rejected"] == {"user_id: null": 1}
    assert lake.read(lake.require("user_profiles", ds=DS))["user_id"].to_pylist() == ["u1", "u2"]

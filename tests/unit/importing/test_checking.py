"""Mapped rows against the contract: rejected, or an attribute lost and counted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.lake import Lake
from tests.unit.importing.small_files import PROFILES, csv, mapping, people, read
from tests.unit.importing.test_import_rejects import ATTRIBUTES, GOOD

pytestmark = pytest.mark.usefixtures("settings_home")


@pytest.mark.parametrize(("line", "reason"), ATTRIBUTES)
def test_no_person_is_lost_for_an_attribute(tmp_path: Path, lake: Lake, line: str, reason: str) -> None:
    result = run_import(
        load_settings(), mapping(tmp_path, PROFILES), [people(tmp_path, *GOOD, line)], ds="2022-05-08"
    )
    assert result["outputs"][0]["rejected"] == {}
    assert result["outputs"][0]["nulled"] == {reason: 1}
    (row,) = [row for row in read(lake, "user_profiles", ds="2022-05-08") if row["user_id"] == "p100"]
    assert row[reason.partition(":")[0]] is None


@pytest.mark.parametrize(("line", "reason"), ATTRIBUTES)
def test_a_mapping_may_reject_for_an_attribute(tmp_path: Path, lake: Lake, line: str, reason: str) -> None:
    name = reason.partition(":")[0]
    spec = PROFILES["columns"][name]
    output = {**PROFILES, "columns": {**PROFILES["columns"], name: {**spec, "invalid": "reject"}}}
    result = run_import(
        load_settings(), mapping(tmp_path, output), [people(tmp_path, *GOOD, line)], ds="2022-05-08"
    )
    assert result["outputs"][0]["rejected"] == {reason: 1}


def test_invalid_null_keeps_the_row_and_counts(tmp_path: Path, lake: Lake) -> None:
    output = {
        **PROFILES,
        "columns": {**PROFILES["columns"], "birth_year": {"from": "born", "invalid": "null"}},
    }
    file = people(tmp_path, "1,1,1800,CN,2022-05-01,t", "2,1,abc,CN,2022-05-01,t", "3,1,1990,CN,2022-05-01,t")
    result = run_import(load_settings(), mapping(tmp_path, output), [file], ds="2022-05-08")
    assert result["outputs"][0]["nulled"] == {
        "birth_year: not a whole number in range": 1,
        "birth_year: outside 1900..2020": 1,
    }
    assert [row["birth_year"] for row in read(lake, "user_profiles", ds="2022-05-08")] == [None, None, 1990]


def test_a_refusal_after_ds_is_kept_for_its_day(tmp_path: Path, lake: Lake) -> None:
    lines = ["u1,false,2022-05-09 00:00:00", "u2,true,2022-05-09 00:00:00", "u3,false,2022-05-08 23:59:59"]
    words = csv(tmp_path, "said.csv", "\n".join(["id,yes,at", *lines]))
    columns = {
        "user_id": "id",
        "kind": {"constant": "topic"},
        "name": {"constant": "promo"},
        "is_opted_in": "yes",
        "updated_ts": "at",
    }
    document = mapping(tmp_path, {"dataset": "user_preferences", "input": "said", "columns": columns})
    (output,) = run_import(load_settings(), document, [words], ds="2022-05-08")["outputs"]
    assert (output["filtered"], output["rejected"]) == ({"after --ds": 1}, {})
    rows = read(lake, "user_preferences", ds="2022-05-08")
    assert [(row["user_id"], row["updated_ts"]) for row in rows] == [
        ("u1", datetime(2022, 5, 8, 23, 59, 59, 999999, UTC)),
        ("u3", datetime(2022, 5, 8, 23, 59, 59, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    "column", ["id", {"template": "p{id}"}, {"from": "id", "transform": ["trim", "hash"]}], ids=str
)
def test_a_word_for_a_missing_id_is_nobody(tmp_path: Path, lake: Lake, column: object) -> None:
    words = ["null", " NULL", "None", "nan", "NaN", "undefined", "N/A", "#N/A", ""]
    lines = [f"{word},1,1990,CN,2022-05-01,t" for word in [*words, "none", "NA", "nullam"]]
    output = {**PROFILES, "columns": {**PROFILES["columns"], "user_id": column}}
    result = run_import(
        load_settings(),
        mapping(tmp_path, output),
        [people(tmp_path, *lines)],
        ds="2022-05-08",
        max_reject_pct=100.0,
    )
    assert result["outputs"][0]["rejected"] == {"user_id: null": len(words)}
    assert len(read(lake, "user_profiles", ds="2022-05-08")) == 3

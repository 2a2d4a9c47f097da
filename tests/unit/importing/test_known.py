"""Entries that the log has, and those whose id stands for something else there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.importing.known import KNOWN, TAKEN
from angelia.lake import Lake
from angelia.lake.erasing.erase import erase
from tests.unit.importing.small_files import csv, mapping

pytestmark = pytest.mark.usefixtures("settings_home")
DS = "2022-05-08"
OUTPUT: dict[str, Any] = {
    "dataset": "suppressions",
    "input": "refusals",
    "columns": {
        "entry_id": "entry",
        "user_id": "id",
        "since_ts": "since",
        "reason": {"constant": "unsubscribed"},
    },
}


def imported(tmp_path: Path, *lines: str, **asked: Any) -> dict[str, Any]:
    file = csv(tmp_path, "refusals.csv", "entry,id,since\n" + "".join(line + "\n" for line in lines))
    (output,) = run_import(load_settings(), mapping(tmp_path, OUTPUT), [file], ds=DS, **asked)["outputs"]
    return output


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_entry_that_stands_is_counted_as_known(tmp_path: Path, lake: Lake, dry_run: bool) -> None:
    imported(tmp_path, "s1,u1,2022-05-01")
    output = imported(tmp_path, "s1,u1,2022-05-01", "s2,u2,2022-05-02", dry_run=dry_run)
    assert (output["rows"], output["filtered"], output["rejected"]) == (1, {KNOWN: 1}, {})
    again = imported(tmp_path, "s1,u1,2022-05-01")
    assert (again["rows"], again["filtered"]) == (0, {KNOWN: 1})
    assert lake.read_log("suppressions")["entry_id"].to_pylist() == ["s1", "s2"][: 2 - dry_run]


@pytest.mark.parametrize("line", ["s1,u7,2022-05-01", "s1,u1,2022-05-02"])
def test_another_refusal_under_a_known_id_is_no_repetition(tmp_path: Path, lake: Lake, line: str) -> None:
    imported(tmp_path, "s1,u1,2022-05-01")
    with pytest.raises(InvalidInput, match=TAKEN):
        imported(tmp_path, line, "s2,u2,2022-05-02")
    assert lake.read_log("suppressions")["entry_id"].to_pylist() == ["s1"]
    output = imported(tmp_path, line, "s2,u2,2022-05-02", max_reject_pct=60.0)
    assert (output["rows"], output["rejected"]) == (1, {TAKEN: 1})


def test_an_erased_person_does_not_return_by_a_file(tmp_path: Path, lake: Lake) -> None:
    imported(tmp_path, "s1,u1,2022-05-01")
    erase(lake, ["u1"])
    output = imported(tmp_path, "s1,u1,2022-05-01", "s2,u2,2022-05-02")
    assert (output["rows"], output["filtered"], output["rejected"]) == (1, {KNOWN: 1}, {})
    assert (
        "u1"
        not in lake.read_log("suppressions")
        .filter([entry == "s1" for entry in lake.read_log("suppressions")["entry_id"].to_pylist()])["user_id"]
        .to_pylist()
    )

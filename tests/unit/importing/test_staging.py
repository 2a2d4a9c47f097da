"""Rows sorted into kept, filtered and rejected; the days of an import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.lake import Lake
from tests.unit.importing.small_files import DAY, EVENTS, NOON, events, mapping, people, read

pytestmark = pytest.mark.usefixtures("settings_home")


def test_a_typo_year_defines_no_window(tmp_path: Path, lake: Lake) -> None:
    in_2062 = NOON + 40 * 366 * DAY
    file = events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{in_2062}")
    assert run_import(load_settings(), mapping(tmp_path, EVENTS), [file], dry_run=True)["ds"] == "2022-05-07"
    result = run_import(load_settings(), mapping(tmp_path, EVENTS, shift="to_ds"), [file], ds="2022-05-08")
    assert result["shift_days"] == 1
    assert result["outputs"][0]["filtered"] == {"after --ds": 1}


def test_times_can_be_moved_to_end_at_ds(tmp_path: Path, lake: Lake) -> None:
    file = events(tmp_path, f"a,u,open,{NOON}", f"b,u,open,{NOON + DAY}")
    result = run_import(load_settings(), mapping(tmp_path, EVENTS, shift="to_ds"), [file], ds="2026-11-14")
    assert result["shift_days"] == 1651
    assert read(lake, "user_events", ds="2026-11-13")[0]["event_ts"] == datetime(2026, 11, 13, 12, tzinfo=UTC)


def test_distinct_keeps_the_earliest(tmp_path: Path, lake: Lake) -> None:
    columns = {"user_id": "id", "signup_ts": "since"}
    file = people(tmp_path, "1,,,,2022-05-03,", "1,,,,2022-05-01,", "1,,,,2022-05-02,")
    output = {"dataset": "user_profiles", "input": "people", "distinct": True, "columns": columns}
    run_import(load_settings(), mapping(tmp_path, output), [file], ds="2022-05-08")
    (row,) = read(lake, "user_profiles", ds="2022-05-08")
    assert row["signup_ts"] == datetime(2022, 5, 1, tzinfo=UTC)


def test_filters_count_under_their_reason_and_are_no_rejects(tmp_path: Path, lake: Lake) -> None:
    keep = [
        {"column": "uid", "op": "not_null", "reason": "no customer"},
        {"column": "eid", "op": "not_starts_with", "value": "C", "reason": "cancelled"},
        {"column": "ms", "op": "gt", "value": NOON, "reason": "too old"},
    ]
    file = events(
        tmp_path,
        f"a,u,open,{NOON + 1}",
        f"b,,open,{NOON + 1}",
        f"C1,u,open,{NOON + 1}",
        f"d,u,open,{NOON}",
        f"C2,,open,{NOON}",
    )
    result = run_import(
        load_settings(), mapping(tmp_path, {**EVENTS, "filter": keep}), [file], max_reject_pct=0
    )
    assert result["outputs"][0]["filtered"] == {"no customer": 2, "cancelled": 1, "too old": 1}
    assert result["outputs"][0]["rejected"] == {}

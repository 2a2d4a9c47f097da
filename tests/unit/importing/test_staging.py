"""Rows sorted into kept, filtered and rejected; the days of an import."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from angelia.commands.import_ import run_import
from angelia.config import load_settings
from angelia.lake import Lake
from tests.unit.importing.small_files import DAY, EVENTS, NOON, csv, events, mapping, people, read

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


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_of_several_words_the_newest_holds(tmp_path: Path, lake: Lake, distinct: bool, order: int) -> None:
    lines = [
        *("u1,promo,true,2022-05-01", "u1,promo,false,2022-05-02"),
        *("u2,promo,false,2022-05-01", "u2,promo,true,2022-05-02"),
        *("u3,promo,true,2022-05-02", "u3,promo,false,2022-05-02"),  # of two at one time the no
    ][::order]
    words = csv(tmp_path, "said.csv", "id,topic,yes,at\n" + "".join(line + "\n" for line in lines))
    columns = {"user_id": "id", "name": "topic", "is_opted_in": "yes", "updated_ts": "at"}
    preferences = {
        "dataset": "user_preferences",
        "input": "said",
        "distinct": distinct,
        "columns": {**columns, "kind": {"constant": "topic"}},
    }
    device = {
        "user_id": "id",
        "address": {"template": "{id}@a.example"},
        "is_active": "yes",
        "registered_ts": "at",
    }
    endpoints = {
        "dataset": "user_endpoints",
        "input": "said",
        "distinct": distinct,
        "columns": {**device, "channel": {"constant": "email"}},
    }
    document = mapping(tmp_path, preferences, endpoints)
    result = run_import(load_settings(), document, [words], ds="2022-05-08", max_reject_pct=60.0)
    assert [output["rows"] for output in result["outputs"]] == [3, 3]
    for name, word in (("user_preferences", "is_opted_in"), ("user_endpoints", "is_active")):
        rows = read(lake, name, ds="2022-05-08")
        assert [(row["user_id"], row[word]) for row in rows] == [("u1", False), ("u2", True), ("u3", False)]


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

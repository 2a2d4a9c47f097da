"""Gates tell broken data from dirty data, and a crashed check from a failed one.

One line names what is broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from angelia import cli
from angelia.contracts import dataset
from angelia.contracts.rows import valid_rows
from angelia.errors import GateClosed, NotFound
from angelia.lake import Commit, Lake
from angelia.quality import measure, require_open, run_gate, verdicts
from angelia.quality.gates import short
from angelia.quality.offenders import check_names, offending_rows

DS = "2026-11-14"
N = 400
SOURCES = ("user_profiles", "user_endpoints", "user_preferences", "user_events")
DAY = datetime.fromisoformat(DS).replace(tzinfo=UTC)


def put(
    lake: Lake,
    name: str,
    *tables: pa.Table,
    inputs: tuple[Commit, ...] = (),
    meta: dict[str, Any] | None = None,
) -> Commit:
    leaf = {"chain": "0"} if dataset(name).partition == ("chain",) else {"ds": DS}
    with lake.attempt(name, **leaf) as attempt:
        for number, table in enumerate(tables):
            attempt.write(table, f"part-{number:04d}.parquet", conform=False)
        return attempt.publish(inputs=inputs, meta=meta)


def with_column(table: pa.Table, name: str, change: Callable[[int, Any], Any]) -> pa.Table:
    place = table.column_names.index(name)
    values = [change(i, value) for i, value in enumerate(table[name].to_pylist())]
    return table.set_column(
        place, table.schema.field(name).with_nullable(True), pa.array(values, table.schema.field(name).type)
    )


@pytest.fixture
def sources(lake: Lake) -> Lake:
    for name in SOURCES:
        put(lake, name, valid_rows(name, N))
    return lake


def closed(lake: Lake, gate: str) -> str:
    with pytest.raises(GateClosed) as refused:
        require_open(gate, DS, run_gate(lake, gate, DS))
    return refused.value.one_line()


def failing(lake: Lake, gate: str) -> dict[str, int | None]:
    return {verdict.check: verdict.n_bad for verdict in run_gate(lake, gate, DS) if not verdict.success}


def test_good_sources_open_the_gate_and_the_verdicts_are_kept(sources: Lake) -> None:
    outcomes = run_gate(sources, "sources", DS)
    require_open("sources", DS, outcomes)
    kept = verdicts(sources, DS)
    expected = {check for check in check_names("sources") if check.startswith(SOURCES)} | {
        f"{name}.partition.exists" for name in SOURCES
    }
    assert {one["check"] for one in kept} == expected
    assert len(kept) == len(outcomes) == len(expected)
    assert all(one["success"] and not one["crashed"] for one in kept)
    assert kept[1]["commits"] == (sources.require("user_profiles", ds=DS).citation(),)


def test_missing_column(sources: Lake) -> None:
    put(sources, "user_profiles", valid_rows("user_profiles", N).drop_columns(["timezone"]))
    assert closed(sources, "sources") == (
        "gate sources of 2026-11-14 is closed: user_profiles.timezone: column missing in 400 of "
        "400 rows (100 %); "
        "see the rows: angelia quality rows --gate sources --check user_profiles.timezone.present "
        "--ds 2026-11-14"
    )
    assert failing(sources, "sources") == {"user_profiles.timezone.present": 400}
    assert len(offending_rows(sources, "sources", "user_profiles.timezone.present", DS)) == 20


def test_thirty_percent_null_timezones(sources: Lake) -> None:
    put(
        sources,
        "user_profiles",
        with_column(valid_rows("user_profiles", N), "timezone", lambda i, _: None if i < 120 else "UTC"),
    )
    assert closed(sources, "sources") == (
        "gate sources of 2026-11-14 is closed: user_profiles.timezone: null in 120 of 400 rows "
        "(30 %, at most 10 % allowed); "
        "see the rows: angelia quality rows --gate sources --check "
        "user_profiles.timezone.max_null --ds 2026-11-14"
    )


def test_duplicate_users(sources: Lake) -> None:
    table = valid_rows("user_profiles", N)
    put(sources, "user_profiles", table, table.slice(0, 40))
    assert closed(sources, "sources") == (
        "gate sources of 2026-11-14 is closed: user_profiles.user_id: duplicate (user_id) in 40 "
        "of 440 rows (9.09 %, at most 1 % allowed); "
        "see the rows: angelia quality rows --gate sources --check user_profiles.key.unique --ds 2026-11-14"
    )


def test_events_in_the_future(sources: Lake) -> None:
    table = with_column(
        valid_rows("user_events", N), "event_ts", lambda i, t: DAY + timedelta(days=2) if i < 100 else t
    )
    put(sources, "user_events", table)
    assert closed(sources, "sources") == (
        "gate sources of 2026-11-14 is closed: user_events.event_ts: after the end of ds in 100 "
        "of 400 rows (25 %, at most 1 % allowed); "
        "see the rows: angelia quality rows --gate sources --check "
        "user_events.event_ts.not_future --ds 2026-11-14"
    )
    rows = offending_rows(sources, "sources", "user_events.event_ts.not_future", DS, limit=500)
    assert len(rows) == 100
    assert all(row["event_ts"] == DAY + timedelta(days=2) for row in rows)


def test_several_faults_are_all_named_and_counted(sources: Lake) -> None:
    put(
        sources,
        "user_profiles",
        valid_rows("user_profiles", N).drop_columns(["timezone", "gender", "locale", "country", "tags"]),
    )
    line = closed(sources, "sources")
    assert "user_profiles.gender: column missing" in line
    assert line.count("column missing") == 4
    assert "and 1 more (angelia quality show --ds 2026-11-14)" in line
    assert "\n" not in line


def test_dirty_but_not_broken_passes_and_is_counted(sources: Lake) -> None:
    table = with_column(
        valid_rows("user_profiles", N), "timezone", lambda i, zone: "Mars/Olympus" if i < 4 else zone
    )
    table = with_column(table, "user_id", lambda i, user: {10: None, 11: "bad id"}.get(i, user))
    put(sources, "user_profiles", table, table.slice(50, 2))
    verdicts = run_gate(sources, "sources", DS)
    require_open("sources", DS, verdicts)
    dirty = {
        verdict.check: verdict.n_bad
        for verdict in verdicts
        if verdict.dataset == "user_profiles" and verdict.n_bad
    }
    assert dirty.pop("user_profiles.timezone.max_null") == 20  # the factory's own nulls
    assert dirty == {
        "user_profiles.timezone.rule": 4,
        "user_profiles.user_id.not_null": 1,
        "user_profiles.user_id.pattern": 1,
        "user_profiles.key.unique": 2,
    }


def test_a_warning_is_printed_and_leaves_the_gate_open(
    sources: Lake, settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(
        sources,
        "user_profiles",
        with_column(valid_rows("user_profiles", N), "birth_year", lambda i, year: 1066 if i < 200 else year),
    )
    with pytest.raises(SystemExit) as stop:
        cli.main(["quality", "check", "--gate", "sources", "--ds", DS])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert (
        "warning: user_profiles.birth_year: outside 1900..2020 in 200 of 400 rows (50 %, at most "
        "1 % allowed); see the rows: angelia"
    ) in out
    assert "is open: 106 of 107 checks hold" in out
    put(sources, "user_profiles", valid_rows("user_profiles", N).drop_columns(["birth_year"]))
    assert "user_profiles.birth_year: column missing" in closed(sources, "sources")


def test_a_check_is_logged_with_its_reads_and_breaches(
    sources: Lake, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(
        sources,
        "user_profiles",
        with_column(valid_rows("user_profiles", N), "timezone", lambda i, _: None if i < 120 else "UTC"),
    )
    put(sources, "user_events", valid_rows("user_events", 3), valid_rows("user_events", 5).slice(3))
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "nightly_personalization")
    with pytest.raises(SystemExit):
        cli.main(["quality", "check", "--gate", "sources", "--ds", DS])
    (line,) = map(json.loads, (settings_home / "logs" / "angelia.jsonl").read_text().splitlines())
    assert (line["step"], line["result"], line["rows_out"], line["rejected"]) == (
        "quality check",
        "error",
        {},
        {},
    )
    assert line["rows_in"] == {
        "user_profiles": N,
        "user_endpoints": N,
        "user_preferences": N,
        "user_events": 5,
    }
    assert line["broken_by"]["user_profiles.timezone.max_null"] == 120


def test_missing_partition_closes_the_gate(sources: Lake, tmp_path: Path) -> None:
    bare = Lake.open(str(tmp_path / "bare"))
    for name in SOURCES[:3]:
        put(bare, name, valid_rows(name, 50))
    assert closed(bare, "sources") == (
        "gate sources of 2026-11-14 is closed: user_events: no commit for ds=2026-11-14; see its "
        "commits: angelia lake log user_events"
    )


def test_unreadable_file_is_a_crash_not_bad_data(sources: Lake) -> None:
    commit = sources.require("user_events", ds=DS)
    path = Path(sources.paths(commit)[0])
    path.write_bytes(path.read_bytes()[:200])
    verdicts = run_gate(sources, "sources", DS)
    crashed = [verdict for verdict in verdicts if verdict.crashed]
    assert [verdict.check for verdict in crashed] == ["user_events.partition.readable"]
    assert not crashed[0].success
    assert all(verdict.success for verdict in verdicts if not verdict.crashed)
    assert "user_events: the check user_events.partition.readable crashed" in closed(sources, "sources")


def test_only_one_file_of_two_lacks_a_column(sources: Lake) -> None:
    table = valid_rows("user_events", N)
    put(sources, "user_events", table.slice(0, 300), table.slice(300).drop_columns(["value"]))
    assert failing(sources, "sources") == {"user_events.value.present": 100}
    rows = offending_rows(sources, "sources", "user_events.value.present", DS, limit=200)
    assert len(rows) == 100
    assert "value" not in rows[0]


def test_column_of_another_type(sources: Lake) -> None:
    table = valid_rows("user_profiles", N)
    place = table.column_names.index("birth_year")
    put(
        sources,
        "user_profiles",
        table.set_column(place, "birth_year", pc.cast(table["birth_year"], pa.string())),
    )
    assert failing(sources, "sources") == {"user_profiles.birth_year.type": N}


def test_receipts_of_the_last_plans_are_checked(sources: Lake) -> None:
    bad = with_column(
        valid_rows("push_receipts", 50, ds="2026-11-13"),
        "kind",
        lambda i, kind: "exploded" if i == 3 else kind,
    )
    with sources.attempt("push_receipts", ds="2026-11-13", source="worker", part="p0") as attempt:
        attempt.write(bad, "part-0000.parquet", conform=False)
        attempt.publish()
    assert failing(sources, "sources") == {"push_receipts.kind.allowed": 1}


def test_measure_counts_and_asks_for_the_partition(sources: Lake) -> None:
    measures = measure(sources, "user_profiles", DS)
    assert measures.n_rows == N
    assert measures.n_bad["timezone.max_null"] == 20
    assert measures.bad_pct("timezone.max_null") == 5.0
    with pytest.raises(NotFound, match="no commit"):
        measure(sources, "user_profiles", "2026-11-13")


def test_no_personal_value_is_stored_or_shown(sources: Lake) -> None:
    canary = "canary@example.org"
    table = with_column(
        valid_rows("user_endpoints", N), "user_id", lambda i, user: f"{canary} {i}" if i < 40 else user
    )
    table = with_column(table, "address", lambda i, address: f"{canary}-{i}" if i < 40 else address)
    table = table.append_column("phone", pa.array([canary] * N))
    put(sources, "user_endpoints", table)
    line = closed(sources, "sources")
    assert "user_endpoints.user_id" in line
    stored = b"".join(sources.store.read(key) for key in sources.store.list("quality"))
    shown = json.dumps(offending_rows(sources, "sources", "user_endpoints.user_id.pattern", DS), default=str)
    assert canary not in line + stored.decode() + shown
    assert shown.count("hash:") == 3 * 20
    again = json.dumps(offending_rows(sources, "sources", "user_endpoints.user_id.pattern", DS), default=str)
    assert sorted(again.split("hash:")) == sorted(shown.split("hash:")), (
        "equal values look equal in every run"
    )
    plain = offending_rows(sources, "sources", "user_endpoints.user_id.pattern", DS, show_personal=True)
    assert all(row["user_id"].startswith(canary) for row in plain)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT CAST('canary@x' AS INT)", "ConversionException: a value could not be converted"),
        (
            "SELECT CAST(v AS TINYINT) FROM (SELECT 77777 AS v)",
            "ConversionException: a value could not be converted",
        ),
        (
            "SELECT strptime('canary@x', '%Y')",
            "InvalidInputException: Invalid Input Error: Could not parse string …",
        ),
        (
            "SELECT * FROM read_parquet('{folder}/canary/part-0001.parquet')",
            "IOException: IO Error: No files found that match the pattern part-0001.parquet",
        ),
    ],
)
def test_what_a_crash_says_holds_no_value_and_no_path(statement: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error) as error:
        duckdb.sql(statement.replace("{folder}", str(tmp_path))).fetchall()
    assert short(error.value) == message

"""Moments in files: a zone that a value carries is never overwritten.

It is obeyed, or the row is rejected.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
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
MOMENT = datetime(2026, 11, 13, 18, 2, 11, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _home(settings_home: Path) -> None:
    """Every test here writes below its own home."""


def document(tmp_path: Path, **timestamp: Any) -> Path:
    columns = {"user_id": "id", "signup_ts": {"from": "at", "timestamp": timestamp} if timestamp else "at"}
    path = tmp_path / "mapping.yaml"
    outputs = [{"dataset": "user_profiles", "input": "people", "columns": columns}]
    top = {"name": "m", "timezone": "Europe/Berlin", "inputs": {"people": "people*"}, "outputs": outputs}
    path.write_text(json.dumps(top))
    return path


def imported(tmp_path: Path, lake: Lake, *files: Path, **timestamp: Any) -> tuple[list[Any], dict[str, Any]]:
    """Import files of `id, at`; return the moments by id and the output's counts."""
    result = run_import(load_settings(), document(tmp_path, **timestamp), files, ds=DS, max_reject_pct=100.0)
    rows = lake.read(lake.require("user_profiles", ds=DS)).sort_by("user_id").to_pylist()
    return [row["signup_ts"] for row in rows], result["outputs"][0]


def csv(tmp_path: Path, *values: str) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("id,at\n" + "".join(f'u{n:02},"{value}"\n' for n, value in enumerate(values)))
    return path


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+02:00"])
@pytest.mark.parametrize("rule", [{}, {"unit": "s"}, {"unit": "iso", "timezone": "Asia/Tokyo"}])
def test_a_zoned_parquet_moment_stays_what_it_is(
    tmp_path: Path, lake: Lake, unit: str, zone: str, rule: dict[str, str]
) -> None:
    path = tmp_path / "people.parquet"
    pq.write_table(
        pa.table({"id": ["u1", "u2"], "at": pa.array([MOMENT, None], pa.timestamp(unit, zone))}), path
    )
    assert imported(tmp_path, lake, path, **rule)[0] == [MOMENT, None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_plain_parquet_moment_is_of_the_mappings_zone(tmp_path: Path, lake: Lake, unit: str) -> None:
    path = tmp_path / "people.parquet"
    plain = pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp(unit))
    pq.write_table(pa.table({"id": ["u1"], "at": plain}), path)
    assert imported(tmp_path, lake, path)[0] == [MOMENT - timedelta(hours=1)]


def test_an_int96_moment_is_utc(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "people.parquet"
    table = pa.table({"id": ["u1"], "at": pa.array([MOMENT], pa.timestamp("us", "UTC"))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    assert imported(tmp_path, lake, path)[0] == [MOMENT]


def test_a_parquet_date_begins_at_local_midnight(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"id": ["u1"], "at": [date(2026, 11, 13)]}), path)
    assert imported(tmp_path, lake, path)[0] == [datetime(2026, 11, 12, 23, tzinfo=UTC)]


def test_files_that_differ_in_zones_are_refused(tmp_path: Path, lake: Lake) -> None:
    paths = [tmp_path / "people1.parquet", tmp_path / "people2.parquet"]
    for path, zone in zip(paths, (None, "UTC"), strict=True):
        moments = pa.array([MOMENT if zone else MOMENT.replace(tzinfo=None)], pa.timestamp("us", zone))
        pq.write_table(pa.table({"id": [path.name], "at": moments}), path)
    with pytest.raises(InvalidInput, match=r"column 2 carries a zone, in people1\.parquet none"):
        imported(tmp_path, lake, *paths)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2026-11-13 18:02:11", -1),  # Berlin's
        ("2026-11-13T18:02:11", -1),
        (" 2026-11-13 18:02:11 ", -1),
        ("2026/11/13 18:02:11", -1),
        ("2026-11-13 18:02:11,0", -1),
        ("2026-11-13 18:02:11 UTC", 0),
        ("2026-11-13 18:02:11 utc", 0),
        ("2026-11-13 18:02:11 GMT", 0),
        ("2026-11-13 18:02:11Z", 0),
        ("2026-11-13 18:02:11z", 0),
        ("2026-11-13t18:02:11.000z", 0),
        ("2026-11-13 18:02:11 Z", 0),
        ("2026-11-13 18:02:11+0000", 0),
        ("2026-11-13 18:02:11+00", 0),
        ("2026-11-13 18:02:11 +00", 0),
        ("2026-11-13 18:02:11 +0000", 0),
        ("2026-11-13 18:02:11 +00:00", 0),
        ("2026-11-13T18:02:11.000000000+02:00", -2),
        ("2026-11-13 18:02:11 -0330", 3.5),
        ("2026-11-13 18:02:11\u22123", 3),
        ("2026-11-13 18:02:11 GMT+1", -1),
        ("2026-11-13 18:02:11 UTC-05:00", 5),
        ("2026-11-13 18:02:11 Asia/Shanghai", -8),
        ("2026-11-13 18:02:11 America/Argentina/Buenos_Aires", 3),
        ("2026-11-13T18:02:11+01:00[Europe/Paris]", -1),
    ],
)
def test_a_zone_in_the_text_is_obeyed(tmp_path: Path, lake: Lake, text: str, hours: float) -> None:
    assert imported(tmp_path, lake, csv(tmp_path, text))[0] == [MOMENT + timedelta(hours=hours)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-13 18:02:11 Nowhere", "unknown zone"),
        ("2026-11-13 18:02:11 No/Where", "unknown zone"),
        ("2026-11-13 18:02:11 IST", "unknown zone"),  # of India, Israel or Ireland
        ("2026-11-13 18:02:11 +99:00", "unknown zone"),
        ("2026-11-13 06:02:11 PM", "no moment in iso"),  # was read as the morning
        ("2026-11-13 06:02:11pm", "no moment in iso"),
        ("2026-11-13 Europe/Berlin", "no moment in iso"),
        ("2026-11-13 18:02:11 tomorrow at 5", "no moment in iso"),
        ("2026-02-30 18:02:11 UTC", "no moment in iso"),
        ("2026-11-13 25:02:11", "no moment in iso"),
        ("13.11.2026", "no moment in iso"),
        ("infinity", "moment out of range"),
        ("99999-01-01 00:00:00 UTC", "moment out of range"),
        ("0001-01-01", "moment out of range"),
    ],
)
def test_a_zone_that_cannot_be_obeyed_rejects_the_row(
    tmp_path: Path, lake: Lake, text: str, reason: str
) -> None:
    moments, counts = imported(tmp_path, lake, csv(tmp_path, text, "2026-11-13 18:02:11Z"))
    assert moments == [MOMENT]
    assert counts["rejected"] == {f"signup_ts: {reason}": 1}


@pytest.mark.parametrize(
    ("unit", "text"), [("ms", "1794592931"), ("us", "1794592931000"), ("us", "1794592931")]
)
def test_a_number_in_a_larger_unit_is_no_moment(tmp_path: Path, lake: Lake, unit: str, text: str) -> None:
    file = csv(tmp_path, text, str(int(MOMENT.timestamp()) * (1_000 if unit == "ms" else 1_000_000)))
    moments, counts = imported(tmp_path, lake, file, unit=unit)
    assert moments == [MOMENT]
    assert counts["rejected"] == {f"signup_ts: no moment in {unit}": 1}


def test_a_shift_moves_zoned_moments_alike(tmp_path: Path, lake: Lake) -> None:
    path = document(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "shift": 1}))
    east = MOMENT.astimezone(timezone(timedelta(hours=9))).isoformat()
    run_import(load_settings(), path, [csv(tmp_path, east)], ds=DS)
    (row,) = lake.read(lake.require("user_profiles", ds=DS)).to_pylist()
    assert row["signup_ts"] == MOMENT + timedelta(days=1)

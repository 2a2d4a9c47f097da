"""Hours before the window are kept once a week, faded as if every day had been read."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Commit, Lake
from angelia.timing.choosing import HALF_LIVES
from angelia.timing.evidence import CELLS, active_hours, count_hours
from spark_jobs.running.reading import window_commits
from spark_jobs.shard_work.curve_shard import Users, read_hours, read_past
from spark_jobs.shard_work.past_hours import YEAR, past_hours

N, BITS = 300, 8
LAST = date(2026, 10, 17)


def write(lake: Lake, name: str, table: pa.Table, ds: str) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 1))
        attempt.publish()


def days_of(lake: Lake, days: int) -> None:
    """Write user_days of so many days up to the last: user i is active every (i % 5 + 1)th day."""
    rng = np.random.default_rng(1)
    for back in range(days):
        day = LAST - timedelta(days=back)
        rows = [
            {"ordinal": i, "event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0,
             "hours": 1 << int(rng.integers(24))}
            for i in range(N) if back % (i % 5 + 1) == 0
        ]  # fmt: skip
        schema = arrow.schema(dataset("user_days"))
        write(lake, "user_days", pa.Table.from_pylist(rows, schema=schema), day.isoformat())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake.open(str(tmp_path / "lake"))
    write(lake, "user_features", valid_rows("user_features", N, ds=LAST.isoformat()), LAST.isoformat())
    return lake


def kept(lake: Lake, last: date, bits: int = BITS) -> Commit | None:
    features = lake.require("user_features", ds=LAST.isoformat())
    shards = list(range(((N - 1) >> bits) + 1))
    return past_hours(None, lake, features, last.isoformat(), shards, bits)  # type: ignore[arg-type]


def read(lake: Lake, commit: Commit, half: float) -> np.ndarray:
    people = np.split(np.arange(N), [1 << BITS])
    return np.vstack([read_past(lake, commit, half, own, shard) for shard, own in enumerate(people)])


def directly(lake: Lake, last: date, days: int, half: float) -> np.ndarray:
    """Return the hours of all days at once, each faded by its own age."""
    features = lake.require("user_features", ds=LAST.isoformat())
    window = window_commits(lake, "user_days", last.isoformat(), days)
    parts = []
    for shard in (0, 1):
        clock = Users.read(lake, features, shard, BITS).clock(np.datetime64(last, "D"), days)
        rows = active_hours(clock, *read_hours(lake, window, clock.n_users, shard, BITS))
        parts.append(count_hours(clock, *rows, half))
    return np.vstack(parts)


def test_weeks_fold_into_the_same_as_all_days_at_once(lake: Lake) -> None:
    days_of(lake, 50)
    first = kept(lake, LAST - timedelta(days=14))
    second = kept(lake, LAST)
    assert first is not None
    assert second is not None
    assert (first.partition["ds"], second.partition["ds"]) == ("2026-10-03", "2026-10-17")
    assert f"user_hours/ds={first.partition['ds']}" in " ".join(str(source) for source in second.inputs)
    for half in HALF_LIVES:
        expected = directly(lake, LAST, 50, half)
        assert expected.shape == (N, CELLS)
        np.testing.assert_allclose(read(lake, second, half), expected, atol=2e-3)


def test_nothing_is_written_before_a_week_is_due(lake: Lake) -> None:
    days_of(lake, 30)
    first = kept(lake, LAST - timedelta(days=7))
    assert kept(lake, LAST - timedelta(days=7)) == first
    assert kept(lake, LAST - timedelta(days=1)) == first
    assert [leaf["ds"] for leaf in lake.partitions("user_hours")] == ["2026-10-10"]
    assert kept(lake, LAST) != first


def test_no_day_so_early_means_no_record(lake: Lake) -> None:
    days_of(lake, 3)
    assert kept(lake, LAST - timedelta(days=3)) is None
    assert lake.partitions("user_hours") == []


def test_the_first_record_holds_at_most_a_year(lake: Lake) -> None:
    early = LAST - timedelta(days=YEAR)
    rows = [{"ordinal": 0, "event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0, "hours": 1}]
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_days")))
    write(lake, "user_days", table, early.isoformat())
    assert kept(lake, LAST) is None
    write(lake, "user_days", table, (early + timedelta(days=1)).isoformat())
    commit = kept(lake, LAST)
    assert commit is not None
    assert read(lake, commit, 365.0).sum() == pytest.approx(0.5, abs=0.01)


def test_users_without_hours_have_no_row(lake: Lake) -> None:
    rows = [{"ordinal": 7, "event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0, "hours": 5}]
    schema = arrow.schema(dataset("user_days"))
    write(lake, "user_days", pa.Table.from_pylist(rows, schema=schema), LAST.isoformat())
    commit = kept(lake, LAST)
    assert commit is not None
    table = lake.read(commit)
    assert table["ordinal"].to_pylist() == [7]
    assert table.column_names == dataset("user_hours").names
    assert sum(table["hours_14d"][0].as_py()) == 2.0

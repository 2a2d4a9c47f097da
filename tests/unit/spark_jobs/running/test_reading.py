"""One shard's rows of a window of days, read through the lake."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from angelia.lake.store import LocalStore
from spark_jobs.running.reading import (
    TASKS_A_CORE,
    grow_exchanges,
    read_files,
    read_window,
    window_commits,
)
from spark_jobs.running.session import PARTITION_BYTES

DAY = {"event_type": "view", "item": None, "n_events": 1, "value_sum": 0.0, "hours": 1}


def write(lake: Lake, ds: str, *ordinals: int) -> None:
    rows = [DAY | {"ordinal": ordinal} for ordinal in ordinals]
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_days")))
    with lake.attempt("user_days", ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", shards=(0, max(ordinals) >> 2))
        attempt.publish()


def test_the_window_ends_on_its_last_day_and_leaves_out_gaps(lake: Lake) -> None:
    for ds in ("2026-11-10", "2026-11-12", "2026-11-14", "2026-11-15"):
        write(lake, ds, 0)
    window = window_commits(lake, "user_days", "2026-11-14", 3)
    assert [(day, commit.partition["ds"]) for day, commit in window] == [(0, "2026-11-12"), (2, "2026-11-14")]
    assert window_commits(lake, "user_days", "2026-11-14", 0) == []


def test_a_shard_has_its_own_people_only(lake: Lake) -> None:
    write(lake, "2026-11-13", 3, 4, 7, 8)
    write(lake, "2026-11-14", 5)
    window = window_commits(lake, "user_days", "2026-11-14", 2)
    rows = read_window(lake, "user_days", window, ["hours"], 1, 2)
    assert list(zip(rows["row"].to_pylist(), rows["day"].to_pylist(), strict=True)) == [
        (0, 0),
        (3, 0),
        (1, 1),
    ]


def test_a_bucket_is_asked_for_several_days_at_once(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANGELIA_CACHE", str(tmp_path / "copies"))
    for day in range(10, 15):
        write(lake, f"2026-11-{day}", day - 10, 3)
    window = window_commits(lake, "user_days", "2026-11-14", 5)
    one_by_one = read_window(lake, "user_days", window, ["hours"], 0, 2)
    together, n_read = Barrier(len(window), timeout=30), [0]
    read, keys = LocalStore.read, LocalStore.list

    def waiting(store: LocalStore, key: str) -> bytes:
        n_read[0] += 1
        together.wait()
        return read(store, key)

    monkeypatch.setattr(LocalStore, "local_path", lambda self, key: None)
    listed: list[tuple[str, str]] = []

    def listing(store: LocalStore, prefix: str, since: str = "") -> Any:
        listed.append((prefix, since))
        return keys(store, prefix, since)

    monkeypatch.setattr(LocalStore, "list", listing)
    monkeypatch.setattr(LocalStore, "children", lambda *_: pytest.fail("a look that the listing answers"))
    monkeypatch.setattr(LocalStore, "read", waiting)
    assert window_commits(lake, "user_days", "2026-11-14", 5) == window
    assert [commit for _, commit in window_commits(lake, "user_days", "2026-11-14", 365)] == [
        commit for _, commit in window
    ]
    assert listed == [("main/user_days", "ds=2026-11-10"), ("main/user_days", "ds=2025-11-15")]
    n_read[0] = 0
    # Passes after the first, and other jobs of this machine, ask the bucket for nothing.
    for _ in range(3):
        assert read_window(lake, "user_days", window, ["hours"], 0, 2).equals(one_by_one)
    assert n_read == [len(window)]


def test_a_window_without_a_day_has_no_rows_but_its_columns(lake: Lake) -> None:
    rows = read_window(lake, "user_days", [], ["hours"], 0, 2)
    assert (rows.num_rows, rows.column_names) == (0, ["hours", "row", "day"])


class Session:
    """As much of a Spark session as its options are."""

    def __init__(self, **options: str) -> None:
        self.conf, self.options = self, options

    def get(self, name: str, default: str | None = None) -> str | None:
        return self.options.get(name, default)

    def set(self, name: str, value: str) -> None:
        self.options[name] = value


@pytest.mark.parametrize(
    ("read", "partitions"),
    [
        ((1,), "8"),
        ((8 * 32 * 2**20,), "8"),
        ((8 * 32 * 2**20, 1), "9"),
        ((2**33, 1), "257"),
        ((2**33,), "256"),
    ],
)
def test_exchanges_grow_with_what_is_read(read: tuple[int, ...], partitions: str) -> None:
    session: Any = Session(**{"spark.sql.shuffle.partitions": "8", PARTITION_BYTES[0]: PARTITION_BYTES[1]})
    named: Any = Session(**{"spark.sql.shuffle.partitions": "8"})
    for n_bytes in read:
        grow_exchanges(session, n_bytes)
        grow_exchanges(named, n_bytes)
    assert session.get("spark.sql.shuffle.partitions") == partitions
    assert named.get("spark.sql.shuffle.partitions") == "8"  # the operator's word


def test_a_task_reads_several_small_files(spark: SparkSession, lake: Lake) -> None:
    files = []
    for day in range(1, 25):
        write(lake, f"2026-11-{day:02}", day)
        files += lake.require("user_days", ds=f"2026-11-{day:02}").files
    rows = read_files(spark, lake, "user_days", files, ["ordinal"])
    assert rows.rdd.getNumPartitions() == spark.sparkContext.defaultParallelism * TASKS_A_CORE < len(files)
    assert sorted(row.ordinal for row in rows.collect()) == list(range(1, 25))
    few = read_files(spark, lake, "user_days", files[:2], ["ordinal"])
    assert few.rdd.getNumPartitions() == 2

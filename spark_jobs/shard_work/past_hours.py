"""A person's active hours before the window, kept compactly: user_hours.

Part of build_send_times. Grain: user; three times 48 cells of local time, each halved every so many days. A
commit of `ds` holds all days up to `ds`, at most a year of them at the first; the next one continues from it,
so a night reads no day twice. Once a week the days that have left the window are folded in. Surprise: a cell
is that of the day it happened in, so a person who moves, or whose clock changes, keeps their local hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from angelia.contracts import dataset
from angelia.lake import Commit, Lake
from angelia.timing.choosing import HALF_LIVES
from angelia.timing.evidence import CELLS, active_hours, count_hours
from spark_jobs.running.reading import Window, window_commits
from spark_jobs.running.session import ShardResult, run_shards
from spark_jobs.shard_work.curve_shard import Users, days_between, hours_column, read_hours, read_past

YEAR = 365
FOLD_EVERY = 7
AT_ONCE = 28  # days that are counted together, so that memory does not grow with the year
GRAIN = 2.0**12  # kept hours are multiples of 1/4096: exact in float32
Stretch = tuple[str, int, Window]  # last day, days, their commits


@dataclass(frozen=True)
class PastHoursUpdate:
    """What is added to a record of past hours or looks.

    `pushes` are the commits of user_pushes of each stretch, where the record counts them.
    """

    lake: Lake
    features: Commit
    before: Commit | None
    parts: list[Stretch]
    shard_bits: int
    pushes: tuple[Window, ...] = ()


def past_hours(
    spark: SparkSession, lake: Lake, features: Commit, last_day: str, shards: list[int], shard_bits: int
) -> Commit | None:
    """Return the newest record of hours up to a day, continued first if a week is due.

    None if no day so early was ever aggregated.
    """
    return continued(spark, lake, "user_hours", features, last_day, shards, shard_bits, fold_shard)


def continued(
    spark: SparkSession,
    lake: Lake,
    name: str,
    features: Commit,
    last_day: str,
    shards: list[int],
    shard_bits: int,
    fold_one: Callable[[PastHoursUpdate, str, int], ShardResult],
    *,
    with_pushes: bool = False,
) -> Commit | None:
    """Return the newest commit of a record up to a day, continued first if a week is due.

    `fold_one` writes one shard's record, given its folder and the shard; `with_pushes` gives it the pushes of
    the days, too.
    """
    kept = [leaf["ds"] for leaf in lake.partitions(name) if leaf["ds"] <= last_day]
    before = lake.require(name, ds=kept[-1]) if kept else None
    days = YEAR if before is None else days_between(kept[-1], last_day) + 1
    # A record is continued once a week, so that a night seldom pays for it.
    if before is not None and days < FOLD_EVERY:
        return before
    parts = stretches(lake, last_day, days)
    commits = [commit for _, _, window in parts for _, commit in window]
    # Nothing was aggregated since: pushes alone begin no record.
    if not commits:
        return before
    pushes = tuple(
        window_commits(lake, "user_pushes", last, length) for last, length, _ in parts if with_pushes
    )
    commits += [commit for window in pushes for _, commit in window]
    fold = PastHoursUpdate(lake, features, before, parts, shard_bits, pushes)
    with lake.attempt(name, ds=last_day) as attempt:
        for result in run_shards(spark, shards, partial(fold_one, fold, attempt.folder)):
            for entry in result.files:
                attempt.add(entry)
        attempt.publish(inputs=[features, *commits, *([before] if before else [])])
    return lake.require(name, ds=last_day)


def stretches(lake: Lake, last_day: str, days: int, name: str = "user_days") -> list[Stretch]:
    """Return the days up to a last one in stretches, oldest first."""
    parts = []
    for back in range(days, 0, -AT_ONCE):
        length = min(AT_ONCE, back)
        last = (date.fromisoformat(last_day) - timedelta(days=back - length)).isoformat()
        parts.append((last, length, window_commits(lake, name, last, length)))
    return parts


def fold_shard(fold: PastHoursUpdate, folder: str, shard: int) -> ShardResult:
    """Write one shard's hours, old ones faded and new ones added."""
    users = Users.read(fold.lake, fold.features, shard, fold.shard_bits)
    n = len(users.ordinal)
    kept = {
        half: np.zeros((n, CELLS))
        if fold.before is None
        else read_past(fold.lake, fold.before, half, users.ordinal, shard)
        for half in HALF_LIVES
    }
    for last, length, window in fold.parts:
        clock = users.clock(np.datetime64(last, "D"), length)
        rows = active_hours(clock, *read_hours(fold.lake, window, n, shard, fold.shard_bits))
        for half, hours in kept.items():
            kept[half] = hours * 0.5 ** (length / half) + count_hours(clock, *rows, half)
    kept = {half: np.round(hours * GRAIN) / GRAIN for half, hours in kept.items()}
    has_any = np.any([hours.any(axis=1) for hours in kept.values()], axis=0)
    columns = {"ordinal": pa.array(users.ordinal[has_any].astype(np.uint32))}
    for half, hours in kept.items():
        flat = pa.array(hours[has_any].astype(np.float32).ravel())
        ends = pa.array(np.arange(0, len(flat) + 1, CELLS, dtype=np.int32))
        columns[hours_column(half)] = pa.ListArray.from_arrays(ends, flat)
    table = pa.table({name: columns[name] for name in dataset("user_hours").names})
    entry = fold.lake.write_file(
        "user_hours", folder, table, f"shard-{shard:05d}.parquet", shards=(shard, shard)
    )
    return ShardResult(shard, [entry])

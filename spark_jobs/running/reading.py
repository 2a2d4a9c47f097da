"""How jobs read: a source as a DataFrame, and one shard's rows of a window of days.

Every file is opened through the lake, where it is read: so local folders and S3 look alike, no Hadoop file
system is needed, each page's checksum is verified, and an executor needs nothing that the driver fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField, StructType

from angelia.contracts import dataset
from angelia.contracts.arrow import where
from angelia.contracts.spark import schema as spark_schema
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.cache import FETCH_THREADS, with_copies
from angelia.lake.commit import in_shard
from angelia.lake.lake import MAIN
from spark_jobs.running.session import PARTITION_BYTES, on_executor

Window = list[tuple[int, Commit]]
TASK_BYTES = 16 * 2**20  # of Parquet that one task reads, unless a file has more
TASKS_A_CORE = 2
NOTHING = StructType([])


def read_dataset(
    spark: SparkSession,
    lake: Lake,
    commits: Commit | Sequence[Commit],
    columns: Sequence[str],
    *,
    change: Callable[[pa.Table], pa.Table] | None = None,
    adding: StructType = NOTHING,
) -> DataFrame:
    """Return columns of commits of one dataset as a DataFrame, as `read_files` does."""
    commits = [commits] if isinstance(commits, Commit) else list(commits)
    files = [entry for commit in commits for entry in commit.files]
    return read_files(spark, lake, commits[0].dataset, files, columns, change=change, adding=adding)


def read_files(
    spark: SparkSession,
    lake: Lake,
    name: str,
    files: Sequence[FileEntry],
    columns: Sequence[str],
    *,
    change: Callable[[pa.Table], pa.Table] | None = None,
    adding: StructType = NOTHING,
) -> DataFrame:
    """Return columns of files of the dataset `name` as a DataFrame.

    A partition reads a file, or several small ones. Each file's rows are `change`d as they are read; that may
    add columns, which `adding` names. An optional column is null where a file lacks it.

    Raises:
        InvalidInput: a file lacks a column; it comes when the rows are read.
    """
    contract = dataset(name)
    whole = spark_schema(contract)
    # Nullable throughout: dirty rows of a source break its contract, and Spark crashes on a null where it was
    # promised none.
    wanted = StructType([StructField(name, whole[name].dataType, True) for name in columns] + adding.fields)
    if not files:
        return spark.createDataFrame([], wanted)
    n_bytes = sum(entry.bytes for entry in files)
    grow_exchanges(spark, n_bytes)

    def spread(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                with on_executor():
                    table = lake.read_file(files[index], columns, contract=contract)
                    table = table if change is None else change(table)
                for position, field in enumerate(table.schema):
                    if pa.types.is_unsigned_integer(field.type):  # Spark has no unsigned integers
                        table = table.set_column(position, field.name, table[field.name].cast(pa.int64()))
                yield from table.to_batches(max_chunksize=65_536)

    # Before an exchange each task makes a file for each partition behind it; a month of ten million people's
    # events is 17,000 small files.
    busy = spark.sparkContext.defaultParallelism * TASKS_A_CORE
    n = min(len(files), max(busy, -(-n_bytes // TASK_BYTES)))
    return spark.range(len(files), numPartitions=n).mapInArrow(spread, wanted)


def grow_exchanges(spark: SparkSession, n_bytes: int) -> None:
    """Give exchanges more partitions as a job reads more.

    Never fewer, and not where the operator named a number. Spark merges small ones by itself (adaptive
    execution), but splits none that are too large.
    """
    size = spark.conf.get(PARTITION_BYTES[0], None)
    if size:
        total = int(spark.conf.get("spark.angelia.read.bytes", None) or 0) + n_bytes
        spark.conf.set("spark.angelia.read.bytes", str(total))
        wanted = -(-total // int(size))
        if wanted > int(spark.conf.get("spark.sql.shuffle.partitions") or 0):
            spark.conf.set("spark.sql.shuffle.partitions", str(wanted))


def window_commits(lake: Lake, name: str, ds: str, days: int) -> Window:
    """Return (day, commit) for the days of the window that have a commit.

    Day 0 is the first of the window, ds its last.
    """
    if days < 1:
        return []
    last = date.fromisoformat(ds)
    dates = [(last - timedelta(days=days - 1 - day)).isoformat() for day in range(days)]
    # A window may be a year of which a few weeks were ever written: one listing says which.
    looker = lake.listed(name, dates[0])
    folders = [f"{branch}/{name}" for branch in {lake.branch, MAIN}]
    there = {child for folder in folders for child in looker.store.children(folder)}
    written = [day for day in range(days) if f"ds={dates[day]}" in there]
    with looking(lake) as pool:
        heads = pool.map(lambda day: looker.head(name, ds=dates[day]), written)
        return [(day, commit) for day, commit in zip(written, heads, strict=True) if commit]


def looking(lake: Lake) -> ThreadPoolExecutor:
    """Return the threads that look at a window's days.

    A bucket answers each request after a round trip, so that several wait at once.
    """
    return ThreadPoolExecutor(1 if lake.store.local_path("main") else FETCH_THREADS)


def read_window(
    lake: Lake, name: str, window: Window, columns: Sequence[str], shard: int, shard_bits: int
) -> pa.Table:
    """Return one shard's rows of a dataset over a window.

    Beside the columns stand `day` (int64) and `row` (int64, ordinal within the shard). Several passes of
    several jobs read a window's files, and so do the next nights: a machine fetches each from a bucket once.
    """
    lo, hi = shard << shard_bits, (shard + 1) << shard_bits

    def of_day(dated: tuple[int, Commit]) -> pa.Table:
        day, commit = dated
        table = copies.read(commit, ["ordinal", *columns], where=in_shard(shard))
        ordinal = table["ordinal"].cast(pa.int64())
        keep = pc.and_(pc.greater_equal(ordinal, lo), pc.less(ordinal, hi))
        table = table.append_column("row", pc.subtract(ordinal, lo)).drop_columns(["ordinal"])
        table = where(table, keep)
        return table.append_column("day", pa.array(np.full(table.num_rows, day)))

    entries = [entry for _, commit in window for entry in commit.files if in_shard(shard)(entry)]
    copies = with_copies(lake, entries)
    with looking(lake) as pool:
        tables = list(pool.map(of_day, window))
    fields = [
        *(pa.field(column, dataset(name)[column].type) for column in columns),
        pa.field("row", pa.int64()),
        pa.field("day", pa.int64()),
    ]
    return pa.concat_tables([pa.schema(fields).empty_table(), *tables], promote_options="permissive")


def ints(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a column without nulls as int64."""
    return column.to_numpy().astype(np.int64, copy=False)

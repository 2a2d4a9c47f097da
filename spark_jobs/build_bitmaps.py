"""Build the bitmap index. Grain: field x value (or bit slice) x shard. Reads user_features, user_days, user_pushes; writes bitmap_index.

Covers ANGELIA_HISTORY_DAYS days up to ds. Every event type gets daily bitmaps; of the (type, item) pairs the MAX_ITEMS commonest, listed in the
commit's meta (`event_items`): predicates over the others are counted from user_days. NaN feature values are taken as NULL and counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from angelia.audience.bitmaps import shard_bitmaps
from angelia.config import load_settings
from angelia.contracts import dataset
from angelia.lake import Commit, FileEntry, Lake
from angelia.output import progress
from spark_jobs._reading import Window, window_commits
from spark_jobs._session import ShardResult, all_shards, arg_parser, in_shard, open_lake, run_job, run_shards, spark_session

MAX_ITEMS = 200


def common_items(days: DataFrame, *, limit: int) -> DataFrame:
    """Return the (event_type, item) pairs with the most user-days, commonest first."""
    counts = days.where(F.col("item").isNotNull()).groupBy("event_type", "item").agg(F.count(F.lit(1)).alias("n"))
    return counts.orderBy(F.desc("n"), "event_type", "item").limit(limit).select("event_type", "item")


def read_days(lake: Lake, name: str, window: Window, columns: Sequence[str], shard: int, shard_bits: int) -> pa.Table:
    """Return one shard's rows of a window of days, with `day` as text."""
    fields = [dataset(name)[column] for column in columns]
    tables = [pa.schema([*((column.name, column.type) for column in fields), ("day", pa.string())]).empty_table()]
    for _, commit in window:
        rows = of_shard(lake.read(commit, columns, where=in_shard(shard)), shard, shard_bits)
        tables.append(rows.append_column("day", pa.array([commit.partition["ds"]] * rows.num_rows, pa.string())))
    return pa.concat_tables(tables, promote_options="permissive")


def of_shard(rows: pa.Table, shard: int, shard_bits: int) -> pa.Table:
    """Return the rows whose ordinal lies in a shard."""
    low, high = shard << shard_bits, (shard + 1) << shard_bits
    return rows.filter(pc.and_(pc.greater_equal(rows["ordinal"], low), pc.less(rows["ordinal"], high)))


def build_shard(
    lake: Lake, folder: str, features: Commit, days: Window, pushes: Window, items: frozenset[tuple[str, str]], shard_bits: int, shard: int
) -> ShardResult:
    """Write one shard's bitmaps, a file per group of fields."""
    people = of_shard(lake.read(features, where=in_shard(shard)), shard, shard_bits)
    groups, n_nan = shard_bitmaps(
        shard,
        people,
        read_days(lake, "user_days", days, ("ordinal", "event_type", "item", "n_events"), shard, shard_bits),
        read_days(lake, "user_pushes", pushes, ("ordinal", "campaign_id", "kind"), shard, shard_bits),
        items,
    )
    files: list[FileEntry] = [
        lake.write_file("bitmap_index", folder, table, f"{group}-shard-{shard:05d}.parquet", shards=(shard, shard), keys={"group": group})
        for group, table in groups.items()
    ]
    return ShardResult(shard, files, {"nan": n_nan, "users": people.num_rows})


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    return arg_parser(__doc__)


def main(argv: Sequence[str] | None = None) -> None:
    """Build the index of one day."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_lake(args.branch)
    history = load_settings().history_days
    features = lake.require("user_features", ds=args.ds)
    index = next(lake.cited(name) for name in features.inputs if name.split(":")[-1].startswith("user_index/"))
    days = window_commits(lake, "user_days", args.ds, history)
    pushes = window_commits(lake, "user_pushes", args.ds, history)
    shard_bits, shards = int(index.meta["shard_bits"]), all_shards(index)
    with spark_session("build_bitmaps") as spark, lake.attempt("bitmap_index", ds=args.ds) as attempt:
        paths = [path for _, commit in days for path in lake.paths(commit)]
        items = common_items(spark.read.parquet(*paths), limit=MAX_ITEMS).collect() if paths else []
        pairs = [(row.event_type, row.item) for row in items]
        work = partial(build_shard, lake, attempt.folder, features, days, pushes, frozenset(pairs), shard_bits)
        results = run_shards(spark, shards, work)
        for result in results:
            for entry in result.files:
                attempt.add(entry)
        n_nan = sum(result.stats["nan"] for result in results)
        commit = attempt.publish(
            inputs=[index, features, *(commit for _, commit in (*days, *pushes))],
            params={"history_days": history, "max_items": MAX_ITEMS},
            meta={
                "shard_bits": shard_bits,
                "n_shards": len(shards),
                "n_users": sum(result.stats["users"] for result in results),
                "history_days": history,
                "event_items": sorted(list(pair) for pair in pairs),
            },
            rejects={"nan_value": n_nan} if n_nan else {},
        )
    progress(f"build_bitmaps: {commit.rows:,} bitmaps of {commit.meta['n_users']:,} users, {sum(e.bytes for e in commit.files):,} bytes")


if __name__ == "__main__":
    sys.exit(run_job(main))

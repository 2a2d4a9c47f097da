"""Build the bitmap index. Grain: field x value (or bit slice) x block of shards. Reads user_features, user_days, user_pushes; writes bitmap_index.

Covers ANGELIA_HISTORY_DAYS days up to ds. Every event type gets daily bitmaps; of the (type, item) pairs the MAX_ITEMS commonest, listed in the
commit's meta (`event_items`): predicates over the others are counted from user_days. NaN feature values are taken as NULL and counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from angelia.audience.bitmaps import Rows, add_events, add_features, add_pushes, block_bits_for
from angelia.audience.blobs import write_rows
from angelia.audience.block import holds_any
from angelia.config import load_settings
from angelia.lake import Commit, Lake
from angelia.output import progress
from spark_jobs._reading import Window, window_commits
from spark_jobs._session import ShardResult, all_shards, arg_parser, open_lake, run_job, run_shards, spark_session

MAX_ITEMS = 200


def common_items(days: DataFrame, *, limit: int) -> DataFrame:
    """Return the (event_type, item) pairs with the most user-days, commonest first."""
    counts = days.where(F.col("item").isNotNull()).groupBy("event_type", "item").agg(F.count(F.lit(1)).alias("n"))
    return counts.orderBy(F.desc("n"), "event_type", "item").limit(limit).select("event_type", "item")


@dataclass(frozen=True)
class Sources:
    """What the blocks are built from; travels to the workers."""

    lake: Lake
    features: Commit
    days: Window
    pushes: Window
    items: frozenset[tuple[str, str]]
    shard_bits: int
    block_bits: int
    n_shards: int

    def shards_of(self, block: int) -> range:
        """Return the shards of a block."""
        per_block = self.block_bits - self.shard_bits
        return range(block << per_block, min((block + 1) << per_block, self.n_shards))

    def rows(self, commit: Commit, columns: Sequence[str], block: int) -> pa.Table:
        """Return columns of a commit's rows whose ordinal lies in a block."""
        names = ["ordinal", *(column for column in columns if column != "ordinal")]
        rows = self.lake.read(commit, names, where=holds_any(self.shards_of(block)))
        low, high = block << self.block_bits, (block + 1) << self.block_bits
        return rows.filter(pc.and_(pc.greater_equal(rows["ordinal"], low), pc.less(rows["ordinal"], high)))


def build_block(sources: Sources, folder: str, block: int) -> ShardResult:
    """Write one block's sets, a file per group of fields.

    Features are read a column at a time and days a day at a time: a block may hold millions of people.
    """
    rows = Rows(block, sources.block_bits)
    n_nan = add_features(rows, lambda columns: sources.rows(sources.features, columns, block))
    # People who joined the index after the features were made have days, but are in no audience yet.
    is_person = np.zeros(1 << sources.block_bits, dtype=bool)
    is_person[rows.positions(sources.rows(sources.features, ["ordinal"], block)["ordinal"])] = True
    for window, columns, add in (
        (sources.days, ("event_type", "item", "n_events"), partial(add_events, rows, items=sources.items)),
        (sources.pushes, ("campaign_id", "kind"), partial(add_pushes, rows)),
    ):
        for _, commit in window:
            table = sources.rows(commit, columns, block)
            table = table.filter(pa.array(is_person[rows.positions(table["ordinal"])]))  # ten times as fast as a hash of them
            add(table.append_column("day", pa.array([commit.partition["ds"]] * table.num_rows, pa.string())))
    shards = sources.shards_of(block)
    files = [
        write_rows(sources.lake, folder, found, group=group, block=block, shards=(shards.start, shards.stop - 1))
        for group, found in sorted(rows.groups.items())
    ]
    return ShardResult(block, files, {"nan": n_nan, "users": int(is_person.sum())})


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
    shard_bits, n_ordinals = int(index.meta["shard_bits"]), int(index.meta["n_users"])
    block_bits = block_bits_for(n_ordinals, shard_bits)
    with spark_session("build_bitmaps") as spark, lake.attempt("bitmap_index", ds=args.ds) as attempt:
        paths = [path for _, commit in days for path in lake.paths(commit)]
        items = common_items(spark.read.parquet(*paths), limit=MAX_ITEMS).collect() if paths else []
        pairs = [(row.event_type, row.item) for row in items]
        sources = Sources(lake, features, days, pushes, frozenset(pairs), shard_bits, block_bits, len(all_shards(index)))
        blocks = range(-(-n_ordinals // (1 << block_bits)))
        results = run_shards(spark, blocks, partial(build_block, sources, attempt.folder))
        for result in results:
            for entry in result.files:
                attempt.add(entry)
        n_nan = sum(result.stats["nan"] for result in results)
        commit = attempt.publish(
            inputs=[index, features, *(commit for _, commit in (*days, *pushes))],
            params={"history_days": history, "max_items": MAX_ITEMS},
            meta={
                "shard_bits": shard_bits,
                "block_bits": block_bits,
                "n_ordinals": n_ordinals,
                "n_shards": len(all_shards(index)),
                "n_users": sum(result.stats["users"] for result in results),
                "history_days": history,
                "event_items": sorted(list(pair) for pair in pairs),
            },
            rejects={"nan_value": n_nan} if n_nan else {},
        )
    progress(f"build_bitmaps: {commit.rows:,} bitmaps of {commit.meta['n_users']:,} users, {sum(e.bytes for e in commit.files):,} bytes")


if __name__ == "__main__":
    sys.exit(run_job(main))

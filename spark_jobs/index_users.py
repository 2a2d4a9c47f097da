"""Give every user a stable dense ordinal. Grain: user.

Reads user_profiles; writes user_index, by appending. The first load is sorted by country, province, timezone,
user_id: people who are selected together stand together, and their bitmaps shrink. Later users are appended.
Users without a valid id, and second rows of one id, are left out and counted. A replay never appends: on a
replay branch the job does nothing, and the night goes on with main's index.

Surprise: no id passes through the driver. New people are sorted over the executors; the driver adds up how
many each piece holds, and so every executor knows the ordinals of its own.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.commit import FileEntry
from angelia.output import progress
from angelia.users.chain import write_users
from angelia.users.index import append_written, file_bits, index_head
from spark_jobs.running.reading import read_dataset
from spark_jobs.running.session import (
    arg_parser,
    on_executor,
    open_judged,
    run_job,
    spark_session,
)
from spark_jobs.shard_work.valid import valid

PIECE_BITS = 33  # of `monotonically_increasing_id`, as Spark documents it
CLUSTERING = ("country", "province", "timezone", "user_id")


def distinct_users(profiles: DataFrame) -> DataFrame:
    """Return one row per valid user id, with its clustering columns and `n_rows`.

    Which duplicate counts does not depend on row order.
    """
    return (
        profiles.where(valid("user_profiles", "user_id"))
        .groupBy("user_id")
        .agg(
            F.min(F.struct("country", "province", "timezone")).alias("place"),
            F.count(F.lit(1)).alias("n_rows"),
        )
        .select("user_id", "place.country", "place.province", "place.timezone", "n_rows")
    )


def unknown_users(users: DataFrame, index: DataFrame) -> DataFrame:
    """Return the users that the index does not hold."""
    return users.join(index.select("user_id"), on="user_id", how="left_anti")


def census(profiles: DataFrame, index: DataFrame) -> tuple[int, int, int]:
    """Return how many rows have a valid id, how many users these are, and how many new."""
    rows = profiles.where(valid("user_profiles", "user_id")).groupBy("user_id").agg(F.count("*").alias("n"))
    known = index.select("user_id", F.lit(True).alias("is_known"))
    counted = rows.join(known, "user_id", how="left").agg(
        F.coalesce(F.sum("n"), F.lit(0)).alias("rows"),
        F.count("*").alias("users"),
        F.count_if(F.col("is_known").isNull()).alias("new"),
    )
    row = counted.first()
    assert row is not None
    return row["rows"], row["users"], row["new"]


def numbered(placed: DataFrame, first: int) -> DataFrame:
    """Return (user_id, ordinal) of users by their `place`, counted from `first`.

    A place is the number of a sorted piece, shifted left by 33 bits, plus the row's number in it.
    """
    piece = F.shiftright("place", PIECE_BITS)
    counts = sorted(placed.groupBy(piece.alias("piece")).count().collect())
    starts = itertools.accumulate((n for _, n in counts), initial=first)
    pieces = placed.sparkSession.createDataFrame(
        [(number, start) for (number, _), start in zip(counts, starts, strict=False)],
        "piece long, start long",
    )
    row = F.col("place").bitwiseAND((1 << PIECE_BITS) - 1)
    return (
        placed.withColumn("piece", piece)
        .join(F.broadcast(pieces), on="piece")
        .select("user_id", (F.col("start") + row).alias("ordinal"))
    )


def known_users(lake: Lake, spark: SparkSession, head: Commit | None) -> DataFrame:
    """Return the ids of an index; none before the first."""
    if head is None:
        return spark.createDataFrame([], "user_id string")
    return read_dataset(spark, lake, head, ["user_id"])


def write_fresh(
    lake: Lake, spark: SparkSession, users: DataFrame, shard_bits: int, head: Commit | None, folder: str
) -> list[FileEntry]:
    """Write the users whom the index lacks, a file a task, and return the files in order."""

    def write(table: pa.Table) -> pa.Table:
        rows = table.select(["user_id", "ordinal"]).sort_by("ordinal")
        rows = rows.set_column(1, "ordinal", rows["ordinal"].cast(pa.uint32()))
        with on_executor():
            return pa.table({"entry": [write_users(lake, "user_index", folder, rows, shard_bits).to_json()]})

    # Kept on disk, so that a sort, which looks at its rows twice, does not look for them twice.
    fresh = unknown_users(users, known_users(lake, spark, head)).persist(StorageLevel.DISK_ONLY)
    # And so that all readings see the same pieces.
    placed = (
        fresh.orderBy(*CLUSTERING)
        .select("user_id", F.monotonically_increasing_id().alias("place"))
        .persist(StorageLevel.DISK_ONLY)
    )
    try:
        file = F.shiftright("ordinal", file_bits(shard_bits)).alias("file")
        added = numbered(placed, head.rows if head else 0)
        written = added.groupBy(file).applyInArrow(write, "entry string").collect()
    finally:
        placed.unpersist()
        fresh.unpersist()
    return sorted((FileEntry.from_json(row.entry) for row in written), key=lambda entry: entry.name)


def arg_parser_for_job() -> argparse.ArgumentParser:
    """Return this job's parser."""
    return arg_parser(__doc__, after=("sources",))


def main(argv: Sequence[str] | None = None) -> None:
    """Append the users of one day's profiles that the index does not hold."""
    args = arg_parser_for_job().parse_args(argv)
    lake = open_judged(args)
    if lake.branch != "main":
        progress(f"index_users: {lake.branch} never appends; its jobs read main's index")
        return
    profiles = lake.require("user_profiles", ds=args.ds)
    with spark_session("index_users") as spark:
        rows = read_dataset(spark, lake, profiles, ["user_id", "country", "province", "timezone"])
        head = index_head(lake)
        # Most nights bring few new people, or none: one look at all says how many.
        n_valid, n_users, n_new = census(rows, known_users(lake, spark, head))
        counts = {"invalid_user_id": profiles.rows - n_valid, "duplicate_user_id": n_valid - n_users}
        rejects = {name: n for name, n in counts.items() if n}
        if not n_users and not (head and head.meta["n_users"]):
            raise InvalidInput(
                f"{profiles.ref} holds nobody to index (left out: {rejects or 'none'})",
                fix=f"import the profiles of {args.ds} again",
            )
        # The first load fixes the width of shards; a later setting must not move anybody's shard.
        shard_bits = int(head.meta["shard_bits"]) if head else load_settings().shard_bits

        def write(seen: Commit | None, folder: str) -> list[FileEntry]:
            # After a lost race the index is another, and others are new.
            is_counted = head is not None and seen is not None and seen.ref == head.ref
            if is_counted and not n_new:
                return []
            return write_fresh(lake, spark, distinct_users(rows), shard_bits, seen, folder)

        commit = append_written(
            lake,
            write,
            seen=head,
            shard_bits=shard_bits,
            inputs=[profiles],
            params={"ds": args.ds},
            rejects=rejects,
        )
    before = head.meta["n_users"] if head else 0
    progress(
        f"index_users: {commit.meta['n_users']:,} users, {commit.meta['n_users'] - before:,} new; left out: "
        f"{rejects or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(run_job(main))

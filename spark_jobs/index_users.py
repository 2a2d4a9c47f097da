"""Give every user a stable dense ordinal. Grain: user.

Reads user_profiles; writes user_index, by appending. The first load is sorted by country, province, timezone,
user_id: people who are selected together stand together, and their bitmaps shrink. Later users are appended.
Users without a valid id, and second rows of one id, are left out and counted. A replay never appends: on a
replay branch the job does nothing, and the night goes on with main's index.

Surprise: the ids of new people, and nothing else, pass through the driver, because one process assigns
ordinals: some 20 bytes each, all people only on the first load.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from angelia.config import load_settings
from angelia.errors import InvalidInput
from angelia.output import progress
from angelia.users.index import append_users, index_head
from spark_jobs.running.reading import read_dataset
from spark_jobs.running.session import arg_parser, open_judged, run_job, spark_session
from spark_jobs.shard_work.valid import valid

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
    """Return the ids that the index does not hold, in clustering order."""
    return (
        users.join(index.select("user_id"), on="user_id", how="left_anti")
        .orderBy(*CLUSTERING)
        .select("user_id")
    )


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
        known = (
            read_dataset(spark, lake, head, ["user_id", "ordinal"])
            if head
            else spark.createDataFrame([], "user_id string, ordinal long")
        )
        users = distinct_users(rows)
        counts = rows.agg(
            F.count(F.lit(1)).alias("n"), F.count_if(~valid("user_profiles", "user_id")).alias("invalid")
        ).first()
        fresh = unknown_users(users, known).toArrow()
        n_users = users.count()
    assert counts is not None
    rejects = {
        name: n
        for name, n in {
            "invalid_user_id": counts.invalid,
            "duplicate_user_id": counts.n - counts.invalid - n_users,
        }.items()
        if n
    }
    if not fresh.num_rows and not (head and head.meta["n_users"]):
        raise InvalidInput(
            f"{profiles.ref} holds nobody to index (left out: {rejects or 'none'})",
            fix=f"import the profiles of {args.ds} again",
        )
    # The first load fixes the width of shards; a later setting must not move anybody's shard.
    shard_bits = int(head.meta["shard_bits"]) if head else load_settings().shard_bits
    commit = append_users(
        lake,
        fresh,
        seen=head,
        shard_bits=shard_bits,
        inputs=[profiles],
        params={"ds": args.ds},
        rejects=rejects,
    )
    progress(
        f"index_users: {commit.meta['n_users']:,} users, {fresh.num_rows:,} new; left out: "
        f"{rejects or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(run_job(main))

"""Which of a person's devices on a channel get a message: the newest, the best, or all.

Part of emit_manifests. Reads endpoints that may be used and, for `best`, `push_receipts` of the last 14 days;
writes nothing. Grain: person x channel x device. Surprise: a receipt names no address. It belongs to the
device whose address gives its dispatch id, so only devices that a person still has are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from angelia.contracts.devices.endpoints import NEWEST_BY
from angelia.contracts.ids import dispatch_id
from angelia.contracts.outcomes import MACHINE
from angelia.contracts.sending import ALL, BEST, MOST_DEVICES, NEWEST
from angelia.contracts.sources import ADDRESS
from angelia.lake import Commit, Lake
from spark_jobs.running.reading import read_dataset
from spark_jobs.shard_work.endpoints import is_denied, same_address

RECEIPT_DAYS = 14  # of plans whose receipts count; a message of a week ago counts half
HALF_LIFE_DAYS = 7.0
# What a device made of one message, by the best that came back of it.
WORTH = {"rejected": 0.0, "bounced": 0.0, "accepted": 0.1, "delivered": 0.2, "displayed": 0.5, "opened": 1.0}
# A device without receipts stands as if two messages had come so far: above one that takes and never shows.
NEW_WORTH, NEW_MESSAGES = 0.25, 2.0
_UNIT = 2**20  # sums of whole numbers do not depend on their order
_KEY = ["user_id", "channel"]
_RECEIPT = ("message_id", "dispatch_id", "user_id", "channel", "kind", "receipt_ts", "reason")
_STANDING = "user_id string, channel string, address string, worth double, at timestamp"


def usable(endpoints: DataFrame) -> DataFrame:
    """Return the endpoints that the contract allows and whose phone shows notifications."""
    return endpoints.where(F.col("is_active") & F.col("address").rlike(ADDRESS) & ~is_denied())


def addresses(endpoints: DataFrame) -> DataFrame:
    """Return one address per user and channel: the newest usable one.

    Of two equally new addresses the larger is taken, as everywhere (`NEWEST_BY`).
    """
    newest = F.max_by(F.struct("address"), F.struct(*NEWEST_BY))
    return usable(endpoints).groupBy(*_KEY).agg(newest["address"].alias("address"))


def all_addresses(endpoints: DataFrame) -> DataFrame:
    """Return every usable address per user and channel, the newest ten where there are more.

    Two spellings of one address are one device.
    """
    newest_first = [F.col(name).desc() for name in NEWEST_BY]
    same = Window.partitionBy(*_KEY, same_address(F.col("channel"), F.col("address"))).orderBy(*newest_first)
    of_channel = Window.partitionBy(*_KEY).orderBy(*newest_first)
    distinct = usable(endpoints).withColumn("spelling", F.row_number().over(same)).where("spelling = 1")
    ranked = distinct.withColumn("rank", F.row_number().over(of_channel))
    return ranked.where(F.col("rank") <= MOST_DEVICES).select(*_KEY, "address")


def best_addresses(endpoints: DataFrame, receipts: DataFrame | None, *, ds: str) -> DataFrame:
    """Return the usable address per user and channel that made most of its recent messages.

    Of equal ones the newest. A message of a week before the end of `ds` counts half; two messages at a mean
    worth are added, so that a device without receipts is tried before one that never shows anything.
    """
    if receipts is None:
        return addresses(endpoints)
    known = usable(endpoints)
    several = known.groupBy(*_KEY).agg(F.countDistinct("address").alias("n")).where("n > 1").select(*_KEY)
    candidates = known.join(several, _KEY, how="left_semi")
    end = datetime.combine(date.fromisoformat(ds) + timedelta(days=1), datetime.min.time(), UTC)
    age_days = (F.lit(end.timestamp()) - F.col("at").cast("double")) / 86_400.0
    weight = F.pow(F.lit(0.5), F.greatest(age_days, F.lit(0.0)) / HALF_LIFE_DAYS)
    made = (
        _of_devices(candidates, receipts)
        .groupBy(*_KEY, "address")
        .agg(
            F.sum(F.round(weight * F.col("worth") * _UNIT).cast("long")).alias("made"),
            F.sum(F.round(weight * _UNIT).cast("long")).alias("n"),
        )
    )
    before = NEW_MESSAGES * _UNIT
    standing = F.coalesce(
        F.round((F.col("made") + NEW_WORTH * before) / (F.col("n") + before), 6), F.lit(NEW_WORTH)
    )
    ranked = known.join(made, [*_KEY, "address"], how="left")
    best = F.max_by(F.struct("address"), F.struct(standing, *map(F.col, NEWEST_BY)))
    return ranked.groupBy(*_KEY).agg(best["address"].alias("address"))


def _of_devices(candidates: DataFrame, receipts: DataFrame) -> DataFrame:
    """Return what each candidate made of each message sent to it: worth and instant."""
    is_machine = F.coalesce(F.col("reason") == MACHINE, F.lit(False))
    worth = F.create_map(*(F.lit(part) for pair in WORTH.items() for part in pair))[F.col("kind")]
    by_dispatch = (
        receipts.where(F.col("kind").isin(*WORTH) & ~is_machine)
        .groupBy(*_KEY, "message_id", "dispatch_id")
        .agg(F.max(worth).alias("worth"), F.max("receipt_ts").alias("at"))
    )
    pairs = candidates.select(*_KEY, "address").distinct().join(by_dispatch, _KEY, how="inner")

    def own(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        names = ("message_id", "channel", "address", "dispatch_id")
        for batch in batches:
            columns = (batch.column(name).to_pylist() for name in names)
            is_own = [dispatch_id(m, c, a) == d for m, c, a, d in zip(*columns, strict=True)]
            yield batch.filter(pa.array(is_own, pa.bool_())).select([*_KEY, "address", "worth", "at"])

    return pairs.mapInArrow(own, _STANDING)


def recent_receipts(spark: SparkSession, lake: Lake, ds: str) -> tuple[DataFrame | None, list[Commit]]:
    """Return the receipts of the last plans up to ds (None: there are none), and their commits."""
    days = [(date.fromisoformat(ds) - timedelta(days=back)).isoformat() for back in range(RECEIPT_DAYS)]
    heads = [
        lake.require("push_receipts", **leaf)
        for day in days
        for leaf in lake.partitions("push_receipts", ds=day)
    ]
    commits = [commit for commit in heads if commit.files]
    return (read_dataset(spark, lake, commits, _RECEIPT) if commits else None), commits


def receipts_param(commits: Collection[Commit]) -> dict[str, str]:
    """Return what a commit that read these says of them: thousands of names as one hash."""
    if not commits:
        return {}
    names = "\n".join(sorted(commit.citation() for commit in commits))
    return {"receipts": sha256(names.encode()).hexdigest()}


def ways_of(campaigns: Mapping[str, str | None], planned: Collection[str]) -> dict[str, str]:
    """Return the planned campaigns that do not go to the newest device, and where they go."""
    return {name: way for name, way in campaigns.items() if name in planned and way not in (None, NEWEST)}


def way_of(ways: Mapping[str, str]) -> Column:
    """Return the way of choosing of a message's campaign."""
    way = F.lit(NEWEST)
    for name, own in sorted(ways.items()):
        way = F.when(F.col("campaign_id") == name, F.lit(own)).otherwise(way)
    return way


def by_way(endpoints: DataFrame, ways: Collection[str], receipts: DataFrame | None, *, ds: str) -> DataFrame:
    """Return the addresses of each user and channel by way of choosing, as column `way`."""
    known = addresses(endpoints).withColumn("way", F.lit(NEWEST))
    if ALL in ways:
        known = known.unionByName(all_addresses(endpoints).withColumn("way", F.lit(ALL)))
    if BEST in ways:
        best = best_addresses(endpoints, receipts, ds=ds)
        known = known.unionByName(best.withColumn("way", F.lit(BEST)))
    return known

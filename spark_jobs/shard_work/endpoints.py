"""Which addresses may be used: none that a provider called gone, and each by one person.

Reads `user_endpoints`, `registered_addresses` and `suppressions`. Timestamp rule: an address that was
registered, or confirmed, after the provider's report is alive again. Entries count up to the end of ds, so
that a replay of a night chooses as that night did; delivery checks younger ones just before it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.contracts.devices.endpoints import DENIED
from angelia.lake import Commit, Lake
from angelia.users.addresses import ascii_forms
from angelia.users.registered import last_words
from angelia.users.suppressions import address_hashes, address_key
from spark_jobs.running.reading import read_dataset

_KEY = ["user_id", "channel", "address"]
COLUMNS = [*_KEY, "registered_ts", "is_active", "permission"]


def gone_by(lake: Lake, ds: str) -> pa.Table:
    """Return the entries about single addresses up to the end of ds.

    Columns: user_id, channel, address_hash, since_ts.
    """
    log = lake.read_log("suppressions")
    end = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
    known = pc.and_(
        pc.is_valid(log["address_hash"]),
        pc.less(log["since_ts"].cast(pa.int64()), int(end.timestamp() * 1e6)),
    )
    return log.filter(known).select(["user_id", "channel", "address_hash", "since_ts"])


def read_endpoints(spark: SparkSession, lake: Lake, commit: Commit, ds: str) -> DataFrame:
    """Return the endpoints of a commit as clients' words up to ds leave them.

    Hosts are as DNS has them. Of a snapshot and a word the later one holds.
    """
    snapshot = read_dataset(spark, lake, commit, COLUMNS, change=ascii_forms)
    end = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
    words = last_words(lake, until=end)
    if not words.num_rows:
        return snapshot
    # The words are few beside the snapshot, which is not shuffled for them.
    frame = spark.createDataFrame(words)
    spoken = F.broadcast(frame.select(*_KEY, F.col("registered_ts").alias("said_ts")))
    newer = snapshot.join(spoken, _KEY, how="inner").where("registered_ts > said_ts").select(*_KEY)
    standing = snapshot.join(spoken, _KEY, how="left").where("said_ts IS NULL OR registered_ts > said_ts")
    words_left = frame.where("is_active").join(newer.distinct(), _KEY, how="left_anti")
    return standing.select(*COLUMNS).unionByName(words_left.select(*COLUMNS))


def living(spark: SparkSession, lake: Lake, endpoints: DataFrame, ds: str) -> DataFrame:
    """Return the endpoints that no provider has called gone since they were registered.

    Columns: user_id, channel, address, registered_ts, ….
    """
    gone = gone_by(lake, ds)
    if not gone.num_rows:
        return endpoints
    key = address_key(lake.store)

    def matching(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            is_dead = [
                entry in address_hashes(key, channel, address)
                for channel, address, entry in zip(
                    *(batch.column(name).to_pylist() for name in ("channel", "address", "address_hash")),
                    strict=True,
                )
            ]
            yield batch.filter(pa.array(is_dead, pa.bool_())).select(_KEY)

    # An entry without a channel closes that address on all of them, so its channel gets a name of its own.
    entries = (
        spark.createDataFrame(gone)
        .withColumnRenamed("channel", "of")
        .groupBy("user_id", "of", "address_hash")
        .agg(F.max("since_ts").alias("since_ts"))
    )
    # Only people who have an entry are hashed: few, whatever the population.
    suspects = endpoints.join(entries, "user_id", how="inner").where(
        "(of IS NULL OR of = channel) AND registered_ts <= since_ts AND address IS NOT NULL"
    )
    dead = suspects.select(*_KEY, "address_hash").mapInArrow(
        matching, "user_id string, channel string, address string"
    )
    return endpoints.join(dead.distinct(), _KEY, how="left_anti")


def is_denied() -> Column:
    """Return whether an endpoint's phone shows no notification of the app.

    Surprise: to be asked after `owned`, for a phone that changed hands is its new owner's, who may deny.
    """
    return F.coalesce(F.col("permission") == DENIED, F.lit(False))


def same_address(channel: Column, address: Column) -> Column:
    """Return a form that is equal for two spellings of one address.

    As `angelia.users.addresses.same_address`, which says why; hosts are as DNS has them already.
    """
    bare, form = F.trim(address), F.substring_index(channel, "_", 1)
    return (
        F.when(form == "email", F.lower(bare))
        .when(form == "sms", F.regexp_replace(bare, r"[\s().\-]", ""))
        .otherwise(bare)
    )


def of_another(endpoints: DataFrame) -> DataFrame:
    """Return (user_id, channel, address) of addresses that another person registered later.

    Such a phone changed hands. The newest registration owns the address; of two at one instant the larger
    user id, so that every run decides alike.
    """
    active = endpoints.where("is_active AND address IS NOT NULL AND user_id IS NOT NULL").withColumn(
        "same", same_address(F.col("channel"), F.col("address"))
    )
    # Eight bytes a row travel; only colliding hashes are compared in full.
    keyed = active.select("channel", "user_id", F.xxhash64("channel", "same").alias("key"))
    crowded = (
        keyed.groupBy("key")
        .agg(F.min("user_id").alias("first"), F.max("user_id").alias("last"))
        .where("first <> last")
        .select("key")
    )
    suspects = active.withColumn("key", F.xxhash64("channel", "same")).join(
        F.broadcast(crowded), "key", how="left_semi"
    )
    owners = suspects.groupBy("channel", "same").agg(
        F.max_by("user_id", F.struct("registered_ts", "user_id")).alias("owner")
    )
    return suspects.join(owners, ["channel", "same"]).where("user_id <> owner").select(*_KEY).distinct()


def owned(endpoints: DataFrame) -> tuple[DataFrame, DataFrame | None]:
    """Return the endpoints of newest owners, and (user_id, channel, address) of the others.

    None where no address has a second owner.
    """
    others = of_another(endpoints).persist()
    if others.isEmpty():
        others.unpersist()
        return endpoints, None
    return endpoints.join(F.broadcast(others), _KEY, how="left_anti"), others

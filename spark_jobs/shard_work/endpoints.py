"""Which addresses may be used: none that a provider called gone, and each by one person.

Reads `user_endpoints`, `registered_addresses` and `suppressions`. Timestamp rule: an address that was
registered, or confirmed, after the provider's report is alive again. Entries count up to the end of ds, so
that a replay of a night chooses as that night did; delivery checks younger ones just before it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.contracts.devices.endpoints import DENIED
from angelia.lake import Commit, Lake
from angelia.lake.lake import LOG
from angelia.users.addresses import ascii_forms
from angelia.users.registered import REGISTERED
from angelia.users.suppressions import address_hashes, address_key
from spark_jobs.running.reading import read_dataset, read_files

_KEY = ["user_id", "channel", "address"]
COLUMNS = [*_KEY, "registered_ts", "is_active", "permission"]
FEW = 200_000  # rows of a log that every executor may have whole: some 50 MB


def read_endpoints(spark: SparkSession, lake: Lake, commit: Commit, ds: str) -> DataFrame:
    """Return the endpoints of a commit as clients' words up to ds leave them.

    Hosts are as DNS has them. Of a snapshot and a word the later one holds.
    """
    snapshot = read_dataset(spark, lake, commit, COLUMNS, change=ascii_forms)
    log, small = _log_of(spark, lake, REGISTERED, COLUMNS)
    if log is None:
        return snapshot
    words = _last(log.where(F.col("registered_ts") < _end_of(ds)))
    spoken = small(words.select(*_KEY, F.col("registered_ts").alias("said_ts")))
    newer = snapshot.join(spoken, _KEY, how="inner").where("registered_ts > said_ts").select(*_KEY)
    standing = snapshot.join(spoken, _KEY, how="left").where("said_ts IS NULL OR registered_ts > said_ts")
    words_left = words.where("is_active").join(newer.distinct(), _KEY, how="left_anti")
    return standing.select(*COLUMNS).unionByName(words_left.select(*COLUMNS))


def _last(log: DataFrame) -> DataFrame:
    """Return the last word on each address, as `angelia.users.registered.last_words` does.

    Of two words at one instant the one that ends the address is the last; what they say of the device decides
    between words that are equal otherwise, so that every run decides alike.
    """
    ends = F.when(F.col("is_active"), 0).when(~F.col("is_active"), 1).otherwise(2)
    words = [name for name in COLUMNS if name not in _KEY]
    last = F.max_by(F.struct(*words), F.struct("registered_ts", ends, "permission"))
    return log.groupBy(*_KEY).agg(last.alias("last")).select(*_KEY, "last.*")


def gone_by(spark: SparkSession, lake: Lake, ds: str) -> DataFrame | None:
    """Return the newest entry about each address up to the end of ds; None if the log is empty.

    Columns: user_id, of (the channel, null = all), address_hash, since_ts.
    """
    log, small = _log_of(spark, lake, "suppressions", ["user_id", "channel", "address_hash", "since_ts"])
    if log is None:
        return None
    known = log.where(F.col("address_hash").isNotNull() & (F.col("since_ts") < _end_of(ds)))
    # An entry without a channel closes that address on all of them, so its channel gets a name of its own.
    named = known.withColumnRenamed("channel", "of").groupBy("user_id", "of", "address_hash")
    return small(named.agg(F.max("since_ts").alias("since_ts")))


def _log_of(
    spark: SparkSession, lake: Lake, name: str, columns: list[str]
) -> tuple[DataFrame | None, Callable[[DataFrame], DataFrame]]:
    """Return a log, None if it is empty, and what makes of rows of it a side of a join.

    Executors read it. While it is small every executor gets all of it, and endpoints need not be exchanged.
    """
    files = [entry for commit in lake.history(name, log=LOG) for entry in commit.files]
    n_rows = sum(entry.rows for entry in files)
    log = read_files(spark, lake, name, files, columns) if n_rows else None
    return log, F.broadcast if n_rows <= FEW else lambda rows: rows


def _end_of(ds: str) -> Column:
    return F.lit(datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1))


def living(spark: SparkSession, lake: Lake, endpoints: DataFrame, ds: str) -> DataFrame:
    """Return the endpoints that no provider has called gone since they were registered.

    Columns: user_id, channel, address, registered_ts, ….
    """
    entries = gone_by(spark, lake, ds)
    if entries is None:
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

"""Addresses that a provider called gone are used no more: `user_endpoints` without those that `suppressions` names by hash.

Timestamp rule: an address that was registered, or confirmed, after the provider's word is alive again. Entries count up to the end of ds, so that a
replay of a night chooses as that night did; younger ones are checked by delivery just before it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.lake import Lake
from angelia.users.suppressions import address_hash, address_key

_KEY = ["user_id", "channel", "address"]


def gone_by(lake: Lake, ds: str) -> pa.Table:
    """Return the entries about single addresses up to the end of ds: user_id, channel, address_hash, since_ts."""
    log = lake.read_log("suppressions")
    end = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
    known = pc.and_(pc.is_valid(log["address_hash"]), pc.less(log["since_ts"].cast(pa.int64()), int(end.timestamp() * 1e6)))
    return log.filter(known).select(["user_id", "channel", "address_hash", "since_ts"])


def living(spark: SparkSession, lake: Lake, endpoints: DataFrame, ds: str) -> DataFrame:
    """Return the endpoints (user_id, channel, address, registered_ts, …) whose provider has not called them gone since they were registered."""
    gone = gone_by(lake, ds)
    if not gone.num_rows:
        return endpoints
    key = address_key(lake.store)

    def matching(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            hashes = [
                address_hash(key, channel, address)
                for channel, address in zip(batch.column("channel").to_pylist(), batch.column("address").to_pylist(), strict=True)
            ]
            yield batch.filter(pc.equal(pa.array(hashes, pa.string()), batch.column("address_hash"))).select(_KEY)

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
    dead = suspects.select(*_KEY, "address_hash").mapInArrow(matching, "user_id string, channel string, address string")
    return endpoints.join(dead.distinct(), _KEY, how="left_anti")

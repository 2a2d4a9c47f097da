"""Which messages of a plan made anew fit beside those of hours that are sealed.

Grain: message. Reads files of manifests; writes nothing. A plan counts what the nights before it sent, and
not what its own sealed hours hold: people would get the morning's messages of one plan and the evening's of
another, over their caps. So whoever has marketing in a sealed hour gets only what a plan counted beside it:
the new plan, if it has all of the sealed messages too, or the one before; and never within the gap. Surprise:
a message may be left out although caps had room for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from angelia.contracts.outcomes import AT_LEAST_ONCE
from angelia.delivery.manifest.parts import messages_in
from angelia.lake import FileEntry, Lake

_SEALED = ["user_id", "message_id", "send_ts", "guarantee"]


def intended(spark: SparkSession, lake: Lake, files: Iterable[FileEntry]) -> DataFrame:
    """Return the message ids that stand in sealed hours: intended, whatever became of them."""
    keys = [(key,) for key in messages_in(lake, files)]
    return spark.createDataFrame(keys, "message_id string").distinct()


def sealed_marketing(spark: SparkSession, lake: Lake, files: Iterable[FileEntry]) -> DataFrame:
    """Return the marketing of sealed hours: user_id, message_id, send_ts."""
    rows = [
        (row["user_id"], row["message_id"], row["send_ts"])
        for entry in files
        for row in lake.read_file(entry, _SEALED).to_pylist()
        if row["guarantee"] != AT_LEAST_ONCE
    ]
    return spark.createDataFrame(rows, "user_id string, message_id string, send_ts timestamp").distinct()


def fitting(
    messages: DataFrame, plan: DataFrame, sealed: DataFrame, before: DataFrame, *, gap_hours: int
) -> DataFrame:
    """Return the messages that may go beside the sealed ones; transactional ones always may.

    Args:
        messages: what is still to be sent: message_id, user_id, send_ts, guarantee, ….
        plan: message_id of all that the plan sends, in sealed hours or not.
        sealed: what `sealed_marketing` returns.
        before: message_id of the manifest that stands.
        gap_hours: between two messages of a person.
    """
    bound = messages.where(F.col("guarantee") != AT_LEAST_ONCE).select("message_id", "user_id", "send_ts")
    dropped = sealed.join(plan.select("message_id").distinct(), "message_id", how="left_anti")
    strange = (
        bound.join(dropped.select("user_id").distinct(), "user_id", how="left_semi")
        .join(before.select("message_id").distinct(), "message_id", how="left_anti")
        .select("message_id")
    )
    at = sealed.select("user_id", F.col("send_ts").alias("sealed_ts"))
    apart = F.abs(F.unix_timestamp("send_ts") - F.unix_timestamp("sealed_ts"))
    near = bound.join(at, "user_id").where(apart < gap_hours * 3600).select("message_id")
    return messages.join(strange.union(near).distinct(), "message_id", how="left_anti")

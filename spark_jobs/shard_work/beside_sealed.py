"""Which messages of a plan made anew fit beside those of hours that are sealed.

Grain: message. Reads files of manifests; writes nothing. A plan counts what the nights before it sent, and
not what its own sealed hours hold: people would get the morning's messages of one plan and the evening's of
another, over their caps. So whoever has marketing in a sealed hour gets only what a plan counted beside it:
the new plan, if it has all of the sealed messages too, or the one before; and never within the gap. A
campaign's budget of messages holds over both plans, too. Surprise: a message may be left out although caps
had room for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from angelia.catalog.documents import Campaign
from angelia.contracts.outcomes import AT_LEAST_ONCE
from angelia.delivery.manifest.parts import sealed_files
from angelia.errors import Conflict
from angelia.lake import FileEntry, Lake
from angelia.lake.lake import MAIN
from spark_jobs.running.reading import read_files

_SEALED = ["campaign_id", "user_id", "message_id", "send_ts", "guarantee"]


def seals_of(lake: Lake, ds: str) -> dict[str, list[FileEntry]]:
    """Return the files of a plan's sealed hours; none on a replay's branch."""
    return sealed_files(lake, ds) if lake.branch == MAIN else {}


def require_same_seals(lake: Lake, ds: str, known: Collection[str]) -> None:
    """Refuse to publish if a worker has sealed an hour since the seals were read.

    That hour goes by the manifest before: messages that this one puts elsewhere would be sent from both.

    Raises:
        Conflict: it has.
    """
    if later := sorted(set(seals_of(lake, ds)).difference(known)):
        raise Conflict(
            f"workers began to send {', '.join(later)} while manifests were written",
            fix="rerun emit_manifests",
        )


def sealed_rows(spark: SparkSession, lake: Lake, files: Sequence[FileEntry]) -> DataFrame:
    """Return the rows of sealed hours' files, which executors read.

    They are intended, whatever became of them.
    """
    return read_files(spark, lake, "dispatch_manifest", files, _SEALED)


def sealed_marketing(sealed: DataFrame) -> DataFrame:
    """Return the marketing of sealed hours: user_id, message_id, send_ts."""
    bound = sealed.where(F.col("guarantee") != AT_LEAST_ONCE)
    return bound.select("user_id", "message_id", "send_ts").distinct()


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


def sealed_counts(sealed: DataFrame) -> dict[str, int]:
    """Return how many messages of each campaign stand in sealed hours."""
    rows = sealed.groupBy("campaign_id").agg(F.countDistinct("message_id").alias("n")).collect()
    return {row["campaign_id"]: row["n"] for row in rows}


def within_budgets(
    messages: DataFrame, campaigns: Mapping[str, Campaign], counts: Mapping[str, int]
) -> DataFrame:
    """Return the messages for which sealed hours leave room in their campaign's budget.

    Which ones stay is drawn by a hash: of what a message is worth the manifest knows nothing.

    Args:
        messages: what is still to be sent: message_id, campaign_id, ….
        campaigns: documents by id.
        counts: messages in sealed hours by campaign.
    """
    budgets = {name: campaign.budget for name, campaign in campaigns.items() if name in counts}
    room = {
        name: max(0, budget.max_messages - counts[name])
        for name, budget in budgets.items()
        if budget is not None
    }
    if not room:
        return messages
    most = F.create_map(*[F.lit(word) for pair in room.items() for word in pair])[F.col("campaign_id")]
    drawn = Window.partitionBy("campaign_id").orderBy(F.xxhash64("message_id"), "message_id")
    bound = messages.where(F.col("campaign_id").isin(list(room))).select("message_id", "campaign_id")
    over = bound.withColumn("place", F.row_number().over(drawn)).where(F.col("place") > most)
    return messages.join(over.select("message_id"), "message_id", how="left_anti")

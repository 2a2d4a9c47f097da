"""Pushes by user and day: push_history and push_receipts as sent and opened messages.

Part of aggregate_days.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from angelia.contracts.outcomes import MACHINE
from spark_jobs.shard_work.valid import first_reason

COLUMNS = (
    "message_id",
    "user_id",
    "campaign_id",
    "material_id",
    "channel",
    "kind",
    "at_ts",
    "sent_ts",
    "slot_propensity",
    "material_propensity",
)
# A push that may have arrived counts as sent, so that fatigue is never underestimated.
SENT = ("accepted", "ambiguous")


def from_history(history: DataFrame) -> DataFrame:
    """Return one row per past push, and one per open."""
    sent = history.withColumn("kind", F.lit("sent")).withColumn("at_ts", F.col("sent_ts"))
    opened = (
        history.where(F.col("opened_ts").isNotNull())
        .withColumn("kind", F.lit("opened"))
        .withColumn("at_ts", F.col("opened_ts"))
    )
    return sent.unionByName(opened).select(
        *COLUMNS, "arrival", F.lit(False).alias("is_receipt"), F.lit(False).alias("is_machine")
    )


def from_receipts(receipts: DataFrame, manifests: DataFrame | None) -> DataFrame:
    """Return one row per receipt of a sent or opened message.

    Propensities come from the manifest it answers, where one exists.
    """
    answered = receipts.where(F.col("kind").isin(*SENT, "opened")).select(
        "message_id",
        "user_id",
        "campaign_id",
        "material_id",
        "channel",
        F.when(F.col("kind") == "opened", "opened").otherwise("sent").alias("kind"),
        F.col("receipt_ts").alias("at_ts"),
        F.coalesce("sent_ts", "receipt_ts").alias("sent_ts"),
        "arrival",
        ((F.col("kind") == "opened") & F.col("reason").eqNullSafe(MACHINE)).alias("is_machine"),
    )
    if manifests is None:
        answered = answered.withColumn("slot_propensity", F.lit(None).cast("double")).withColumn(
            "material_propensity", F.lit(None).cast("double")
        )
    else:
        drawn = manifests.groupBy("message_id").agg(
            F.max("slot_propensity").alias("slot_propensity"),
            F.max("material_propensity").alias("material_propensity"),
        )
        answered = answered.join(drawn, on="message_id", how="left")
    return answered.select(*COLUMNS, "arrival", F.lit(True).alias("is_receipt"), "is_machine")


def classify_pushes(
    history: DataFrame | None,
    receipts: DataFrame | None,
    manifests: DataFrame | None,
    index: DataFrame,
    *,
    late_days: int,
) -> DataFrame | None:
    """Return every sent or opened push, classified; None without a source.

    New columns: `ordinal`, UTC `day` of at_ts, `reason` (null = good) and `counted`, the day whose commit
    counts it.

    Args:
        history: rows with `arrival`, the day sent.
        receipts: rows with `arrival`, their plan day.
        manifests: likewise.
    """
    parts = [from_history(history)] if history is not None else []
    if receipts is not None:
        parts.append(from_receipts(receipts, manifests))
    if not parts:
        return None
    pushes = parts[0] if len(parts) == 1 else parts[0].unionByName(parts[1])
    day = F.to_date("at_ts")
    reason = first_reason(
        {
            "unknown_user": F.col("ordinal").isNull(),
            "null_key": F.col("message_id").isNull()
            | F.col("campaign_id").isNull()
            | F.col("material_id").isNull()
            | F.col("sent_ts").isNull(),
            "machine_open": F.col("is_machine"),
            "opened_before_sent": (F.col("kind") == "opened") & (F.col("at_ts") < F.col("sent_ts")),
            "wrong_day": ~F.col("is_receipt") & (F.to_date("sent_ts") != F.col("arrival")),
            "too_late": F.col("is_receipt") & (F.datediff(day, F.col("arrival")) > late_days),
        }
    )
    known = pushes.join(index, on="user_id", how="left")
    # A rejected row is counted once: a row of the history under the day of its partition, a receipt under its
    # own day.
    counted = F.when(F.col("is_receipt"), day).otherwise(F.col("arrival"))
    rest = (name for name in COLUMNS if name != "user_id")
    return known.select(*rest, "ordinal", day.alias("day"), counted.alias("counted"), reason.alias("reason"))

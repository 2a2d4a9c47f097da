"""Pushes are classified by one reason each, at the edge of what may be late."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from spark_jobs.shard_work.pushes import classify_pushes

DAY = date(2026, 11, 14)
NOON = datetime(2026, 11, 14, 12)
RECEIPT = (
    "message_id string, user_id string, campaign_id string, material_id string, channel string, "
    "kind string, receipt_ts timestamp, sent_ts timestamp, reason string, arrival date"
)


def receipt(
    name: str, kind: str, at: datetime, *, user: str = "u1", reason: str | None = None
) -> tuple[Any, ...]:
    return (name, user, "sale", "plain", "fcm", kind, at, NOON, reason, DAY)


def test_each_receipt_has_the_first_reason_that_holds(spark: Any) -> None:
    second, late = timedelta(seconds=1), timedelta(days=3)
    rows = [
        receipt("good", "opened", NOON),
        receipt("early", "opened", NOON - second),
        receipt("robot", "opened", NOON, reason="machine"),
        receipt("unknown", "opened", NOON - second, user="nobody"),
        receipt("in time", "opened", NOON + late),
        receipt("too late", "opened", NOON + late + timedelta(days=1)),
        receipt("perhaps", "ambiguous", NOON),
        receipt("refused", "rejected", NOON),
    ]
    index = spark.createDataFrame([("u1", 7)], "user_id string, ordinal long")
    classified = classify_pushes(None, spark.createDataFrame(rows, RECEIPT), None, index, late_days=3)
    assert classified is not None
    reasons = {row.message_id: (row.kind, row.reason) for row in classified.collect()}
    assert reasons == {
        "good": ("opened", None),
        "early": ("opened", "opened_before_sent"),
        "robot": ("opened", "machine_open"),
        "unknown": ("opened", "unknown_user"),
        "in time": ("opened", None),
        "too late": ("opened", "too_late"),
        "perhaps": ("sent", None),  # it may have arrived, so fatigue counts it
    }


def test_without_a_source_there_is_nothing_to_classify(spark: Any) -> None:
    index = spark.createDataFrame([("u1", 7)], "user_id string, ordinal long")
    assert classify_pushes(None, None, None, index, late_days=3) is None

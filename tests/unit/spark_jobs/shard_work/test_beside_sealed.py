"""A plan made anew at noon: what the morning's sealed hours leave room for."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from angelia.catalog.document_parts import Budget
from angelia.catalog.documents import Campaign
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from spark_jobs.shard_work.beside_sealed import (
    fitting,
    sealed_counts,
    sealed_marketing,
    sealed_rows,
    within_budgets,
)

ROW = "message_id string, user_id string, send_ts timestamp, guarantee string"


def at(hour: int) -> datetime:
    return datetime(2026, 11, 15, hour, tzinfo=UTC)


@pytest.fixture
def frames(spark):
    def make(*rows):
        full = [(message, user, at(hour), "at_most_once") for message, user, hour in rows]
        return spark.createDataFrame([*full, ("owed", "u1", at(7), "at_least_once")], ROW)

    return make


def test_only_what_some_plan_counted_goes_beside_a_sealed_hour(frames) -> None:
    # u1 and u2 got a1 and a2 at six; u1's is not in the new plan any more.
    sealed = frames(("a1", "u1", 6), ("a2", "u2", 6)).where("guarantee <> 'at_least_once'").drop("guarantee")
    plan = frames(
        *(("b1", "u1", 14), ("c1", "u1", 18), ("a2", "u2", 15), ("b2", "u2", 10), ("c2", "u2", 9)),
        ("b3", "u3", 7),
    )
    messages = plan.where("message_id <> 'a2'")
    before = frames(("a1", "u1", 6), ("a2", "u2", 6), ("b1", "u1", 14))
    kept = fitting(messages, plan, sealed, before, gap_hours=4).collect()
    assert sorted(row["message_id"] for row in kept) == ["b1", "b2", "b3", "owed"]


def test_sealed_files_are_read_on_executors(spark, lake, monkeypatch) -> None:
    rows = valid_rows("dispatch_manifest", 4)
    with lake.attempt("dispatch_manifest", ds="2026-11-14") as attempt:
        attempt.write(rows, "part-0000.parquet", keys={"send_hour": "2026-11-15T04"})
        commit = attempt.publish()
    # Another device of each message is another row of the same message.
    sealed = sealed_rows(spark, lake, [*commit.files, *commit.files])
    marketing = {row["message_id"] for row in rows.to_pylist() if row["guarantee"] == "at_most_once"}
    assert sorted(row["message_id"] for row in sealed_marketing(sealed).collect()) == sorted(marketing)
    assert sum(sealed_counts(sealed).values()) == len(set(rows["message_id"].to_pylist()))
    monkeypatch.setattr(Lake, "read_file", lambda *_: pytest.fail("the driver reads no file of them"))
    assert sealed_rows(spark, lake, list(commit.files)).count() == rows.num_rows


def test_a_budget_holds_over_both_plans(spark) -> None:
    def budgeted(most: int | None) -> Campaign:
        return Campaign.model_construct(budget=None if most is None else Budget(max_messages=most))

    rows = [(f"{name}{n}", name) for name in ("sale", "news", "free") for n in range(5)]
    messages = spark.createDataFrame(rows, "message_id string, campaign_id string")
    campaigns = {"sale": budgeted(10), "news": budgeted(3), "free": budgeted(None), "other": budgeted(1)}
    kept = within_budgets(messages, campaigns, {"sale": 7, "news": 4, "free": 9})
    of = Counter(row["campaign_id"] for row in kept.collect())
    assert of == {"sale": 3, "free": 5}
    assert within_budgets(messages, campaigns, {"free": 9}) is messages

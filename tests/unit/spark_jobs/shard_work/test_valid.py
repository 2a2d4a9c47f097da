"""The contracts' value rules as Spark conditions: never null, false for what breaks one."""

from __future__ import annotations

from typing import Any

from spark_jobs.shard_work.valid import first_reason, valid


def test_rules_hold_at_their_edges_and_are_never_null(spark: Any) -> None:
    rows = [("u1", 1.0), ("u1\n", float("nan")), ("", None), (None, -1.0)]
    frame = spark.createDataFrame(rows, "user_id string, value double")
    user, value = valid("user_events", "user_id"), valid("user_events", "value")
    answers = [tuple(row) for row in frame.select(user, value).collect()]
    # A line break at the end is no part of an id; a value may be missing, but is a number.
    assert [user for user, _ in answers] == [True, False, False, False]
    assert answers[2][1] is True
    assert None not in {each for row in answers for each in row}


def test_the_first_reason_that_holds_is_the_rows(spark: Any) -> None:
    frame = spark.createDataFrame([(True, True), (False, True), (False, False)], "a boolean, b boolean")
    reasons = frame.select(first_reason({"first": frame.a, "second": frame.b})).collect()
    assert [row[0] for row in reasons] == ["first", "second", None]

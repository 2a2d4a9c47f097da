"""The contracts' value rules as Spark conditions: never null, false for what breaks one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from angelia.contracts import dataset
from spark_jobs.shard_work.valid import breaks, first_reason, valid, with_broken


def test_rules_hold_at_their_edges_and_are_never_null(spark: Any) -> None:
    rows = [("u1", 1.0), ("u1\n", float("nan")), ("", None), (None, -1.0)]
    frame = spark.createDataFrame(rows, "user_id string, value double")
    user, value = valid("user_events", "user_id"), valid("user_events", "value")
    answers = [tuple(row) for row in frame.select(user, value).collect()]
    # A line break at the end is no part of an id; a value may be missing, but is a number.
    assert [user for user, _ in answers] == [True, False, False, False]
    assert answers[2][1] is True
    assert None not in {each for row in answers for each in row}


def test_rows_tell_what_they_break_as_conditions_do(spark: Any) -> None:
    columns = ("event_id", "event_type", "item", "value")
    texts = ["a1", "a1\n", "", None, "A b", "x" * 65, "ä", "a\nb", "view"]
    numbers = [1.0, float("nan"), None, 1e9, -1e9, 1.1e9, float("inf"), 0.0, -2e9]
    rows = pa.table({name: numbers if name == "value" else texts for name in columns})
    bits = with_broken("user_events", columns)(rows)["broken"].to_pylist()
    frame = spark.createDataFrame(
        [(*row.values(), bit) for row, bit in zip(rows.to_pylist(), bits, strict=True)],
        "event_id string, event_type string, item string, value double, broken int",
    )
    for name in columns:
        pairs = frame.select(valid("user_events", name), breaks(columns, name)).collect()
        assert [keeps for keeps, _ in pairs] == [not broken for _, broken in pairs], name
        assert {keeps for keeps, _ in pairs} == {True, False}
        assert dataset("user_events")[name].nullable == pairs[3 if name != "value" else 2][0]


def test_the_first_reason_that_holds_is_the_rows(spark: Any) -> None:
    frame = spark.createDataFrame([(True, True), (False, True), (False, False)], "a boolean, b boolean")
    reasons = frame.select(first_reason({"first": frame.a, "second": frame.b})).collect()
    assert [row[0] for row in reasons] == ["first", "second", None]

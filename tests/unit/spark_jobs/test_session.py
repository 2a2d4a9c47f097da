"""What jobs ask of Spark: nothing is broadcast because nobody knows how large it is."""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts import arrow, dataset
from spark_jobs._reading import read_dataset

DS = "2026-11-14"


def test_what_our_readers_give_is_not_broadcast_unmeasured(spark, lake) -> None:
    row = {"user_id": "a", "kind": "topic", "name": "promo", "is_opted_in": True}
    schema = arrow.schema(dataset("user_preferences"))
    with lake.attempt("user_preferences", ds=DS) as attempt:
        known = {name: row.get(name) for name in schema.names}
        attempt.write(
            pa.Table.from_pylist([known], schema=pa.schema([field.with_nullable(True) for field in schema])),
            "part-0000.parquet",
            conform=False,
        )
        commit = attempt.publish()
    one, two = (read_dataset(spark, lake, commit, ["user_id", name]) for name in ("kind", "name"))
    joined = one.join(two, "user_id")
    assert "Broadcast" not in joined._jdf.queryExecution().executedPlan().toString()
    assert [tuple(found) for found in joined.collect()] == [("a", "topic", "promo")]

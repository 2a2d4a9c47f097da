"""The same night, run again after an erasure: every person keeps ordinal and counts, the erased one is planned for no more."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from angelia import cli
from angelia.lake import Lake
from angelia.lake.erase import erase
from angelia.lake.verify import verify
from spark_jobs import aggregate_days, build_bitmaps, build_features, index_users

DS, DAYS = "2026-11-14", "10"


def night(lake: Lake) -> dict[str, pa.Table]:
    """Run the night's jobs from the sources to the index; return what they made, in a fixed order of rows."""
    index_users.main(["--ds", DS])
    aggregate_days.main(["--ds", DS, "--days", DAYS])
    build_features.main(["--ds", DS])
    build_bitmaps.main(["--ds", DS])
    made = {}
    for name in ("user_days", "user_pushes", "user_features", "bitmap_index"):
        tables = [lake.read(lake.require(name, **leaf)) for leaf in lake.partitions(name)]
        keys = {"user_days": ["ordinal", "event_type", "item"], "user_pushes": ["message_id", "kind"], "user_features": ["ordinal"]}
        table = pa.concat_tables(tables)
        made[name] = table.sort_by([(key, "ascending") for key in keys[name]]) if name in keys else table
    return made


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_the_same_night_again(settings_home: Path, lake: Lake, spark: SparkSession) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["world", "create", "--users", "300", "--days", DAYS, "--seed", "7"])
    before = night(lake)
    features = before["user_features"].to_pylist()
    who = max((row for row in features if row["channels"] and not row["is_suppressed"]), key=lambda row: row["n_events_28d"] + row["n_pushes_28d"])
    assert who["n_events_28d"] > 0
    assert who["n_pushes_28d"] > 0
    (tombstone,) = erase(lake, [who["user_id"]]).tombstones
    after = night(lake)
    assert lake.require("user_index", chain="0").meta["n_users"] == len(features)  # nobody new, nobody lost
    assert after["user_days"] == before["user_days"]
    assert after["user_pushes"] == before["user_pushes"]
    expected = [row if row["ordinal"] != who["ordinal"] else {**row, "user_id": tombstone, "is_suppressed": True} for row in features]
    assert after["user_features"].to_pylist() == expected
    counts = [
        {tuple(row[key] for key in ("field", "kind", "value", "bit", "block")): row["cardinality"] for row in night["bitmap_index"].to_pylist()}
        for night in (before, after)
    ]
    differ = {key: counts[1].get(key, 0) - counts[0].get(key, 0) for key in {*counts[0], *counts[1]} if counts[0].get(key) != counts[1].get(key)}
    assert {key[0] for key in differ} == {"is_suppressed", "reachable"}
    assert {(key[0], n) for key, n in differ.items()} == {("is_suppressed", 1), ("reachable", -1)}
    assert verify(lake).problems == []

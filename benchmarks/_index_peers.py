"""The peers of the index benchmark, each in a process of its own: Spark's bitmap_construct_agg, and DuckDB's list() with pyroaring."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from pyroaring import BitMap

from angelia.lake import Lake
from benchmarks.index import DAYS, DS, LISTS, TEXTS

FLAGS = ("is_timezone_unknown", "is_suppressed")
NUMBERS = (
    "age_years", "membership_level", "days_since_signup", "n_events_1d", "n_events_7d", "n_events_28d", "n_active_days_28d",
    "n_purchases_28d", "days_since_event", "days_since_purchase", "n_pushes_7d", "n_pushes_28d", "n_opens_28d", "days_since_push",
)  # fmt: skip
BITS = {"days_since_signup": 11}


def selects(unnest: str, bit: str) -> list[str]:
    """Return one SELECT of (k, ordinal) per field; `unnest` and `bit` are the engine's spelling."""
    found = [f"SELECT concat('{name}=', {name}) AS k, ordinal FROM f WHERE {name} IS NOT NULL" for name in TEXTS]
    found += [f"SELECT concat('{name}=', v) AS k, ordinal FROM f {unnest.format(name)}" for name in LISTS]
    found += [f"SELECT '{name}' AS k, ordinal FROM f WHERE {name}" for name in FLAGS]
    for name in NUMBERS:
        found += [f"SELECT '{name}#{i}' AS k, ordinal FROM f WHERE {bit.format(name, i)} = 1" for i in range(BITS.get(name, 7))]
    found.append("SELECT concat(event_type, ':', item, ':', day) AS k, ordinal FROM d")
    return found


def duckdb_list(lake: Lake) -> int:
    """Return the bytes of the roaring bitmaps, made from DuckDB's lists of ordinals."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    paths = lake.paths(lake.require("user_features", ds=DS))
    connection.execute(f"CREATE VIEW f AS SELECT * FROM read_parquet({paths}, hive_partitioning = false)")
    days = [leaf["ds"] for leaf in lake.partitions("user_days")][-DAYS:]
    views = [
        f"SELECT *, '{day}' AS day FROM read_parquet({lake.paths(lake.require('user_days', ds=day))}, hive_partitioning = false)" for day in days
    ]
    connection.execute(f"CREATE VIEW d AS {' UNION ALL '.join(views)}")
    size = 0
    for select in selects(", unnest({0}) AS u(v)", "(({0} >> {1}) & 1)"):
        reader = connection.execute(f"SELECT k, list(ordinal) AS members FROM ({select}) GROUP BY k").to_arrow_reader(1000)
        for batch in reader:
            members = batch.column(1)
            offsets, flat = members.offsets.to_numpy(), members.values.to_numpy()
            for i in range(len(members)):
                bitmap = BitMap(np.ascontiguousarray(flat[offsets[i] : offsets[i + 1]]))
                bitmap.run_optimize()
                size += len(bitmap.serialize())
    return size


def spark_bitmap_construct_agg(lake: Lake, folder: Path) -> int:
    """Return the bytes of Spark's own bitmaps, written as Parquet."""
    from spark_jobs._session import spark_session

    with spark_session("bitmap_construct_agg") as spark:
        spark.read.parquet(*lake.paths(lake.require("user_features", ds=DS))).createOrReplaceTempView("f")
        days = [leaf["ds"] for leaf in lake.partitions("user_days")][-DAYS:]
        parts = []
        for day in days:
            spark.read.parquet(*lake.paths(lake.require("user_days", ds=day))).createOrReplaceTempView(f"d_{day.replace('-', '_')}")
            parts.append(f"SELECT *, '{day}' AS day FROM d_{day.replace('-', '_')}")
        spark.sql(" UNION ALL ".join(parts)).createOrReplaceTempView("d")
        rows = " UNION ALL ".join(selects("LATERAL VIEW explode({0}) u AS v", "(shiftright({0}, {1}) & 1)"))
        out = folder / "spark_bitmaps"
        spark.sql(
            "SELECT k, bitmap_bucket_number(cast(ordinal AS bigint)) AS bucket,"
            f" bitmap_construct_agg(bitmap_bit_position(cast(ordinal AS bigint))) AS bits FROM ({rows}) GROUP BY ALL"
        ).write.mode("overwrite").parquet(str(out))
    return sum(path.stat().st_size for path in out.glob("*.parquet"))


def main() -> None:
    """Build, and print the size."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    lake = Lake.open(str(folder / "lake"))
    size = duckdb_list(lake) if name == "duckdb_list" else spark_bitmap_construct_agg(lake, folder)
    print(json.dumps({"bytes": size}))


if __name__ == "__main__":
    main()

"""The peers of the index benchmark, each in a process of its own.

They are Spark's bitmap_construct_agg, and DuckDB's list() with pyroaring. They make sets of the same content
from the same stored files, as (k, bitmap) rows in Parquet: a set a value, the known people of each field that
may be NULL, numbers bit by bit (fractions in hundredths, which is all they hold), and of events, by type and
by (type, item), each day's presence and its count bit by bit.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.contracts import dataset
from angelia.lake import Lake
from benchmarks.measured.index_sources import DAYS, DS, FRACTIONS, LISTS, NUMBERS, TEXTS

FLAGS = ("is_timezone_unknown", "is_suppressed")
COUNT_BITS = 6


def selects(unnest: str, bit: str) -> list[str]:
    """Return one SELECT of (k, ordinal) per field, or bit of it.

    `unnest` and `bit` are the engine's spelling.
    """
    contract = dataset("user_features")
    statements = ["SELECT 'user?' AS k, ordinal FROM f"]
    statements += [
        f"SELECT concat('{name}=', {name}) AS k, ordinal FROM f WHERE {name} IS NOT NULL" for name in TEXTS
    ]
    statements += [
        f"SELECT concat('{name}=', v) AS k, ordinal FROM f {unnest.format(name)}"
        for name in LISTS
        if name != "channels"
    ]
    statements.append(
        f"SELECT concat('channels=', v) AS k, ordinal FROM f {unnest.format('channels')} WHERE "
        f"NOT is_suppressed"
    )
    statements += [f"SELECT '{name}' AS k, ordinal FROM f WHERE {name}" for name in FLAGS]
    # A field without NULLs needs no set of known people: it would be everyone.
    nullable = [name for name in (*TEXTS, *NUMBERS, *FRACTIONS, "tags") if contract[name].nullable]
    statements += [f"SELECT '{name}?' AS k, ordinal FROM f WHERE {name} IS NOT NULL" for name in nullable]
    whole = {name: (name, bits) for name, bits in NUMBERS.items()}
    whole |= {name: (f"CAST(round({name} * 100) AS INT)", bits) for name, bits in FRACTIONS.items()}
    statements += [
        f"SELECT '{name}#{i}' AS k, ordinal FROM f WHERE {bit.format(text, i)} = 1"
        for name, (text, bits) in whole.items()
        for i in range(bits)
    ]
    for key, rows in (
        (
            "concat(event_type, ':', day)",
            (
                "(SELECT event_type, day, ordinal, CAST(sum(n_events) AS INT) AS n FROM d GROUP BY "
                "event_type, day, ordinal)"
            ),
        ),
        (
            "concat(event_type, ':', item, ':', day)",
            "(SELECT event_type, item, day, ordinal, n_events AS n FROM d)",
        ),
    ):
        statements.append(f"SELECT {key} AS k, ordinal FROM {rows}")
        statements += [
            f"SELECT concat({key}, '#{i}') AS k, ordinal FROM {rows} WHERE {bit.format('n', i)} = 1"
            for i in range(COUNT_BITS)
        ]
    return statements


def day_sources(lake: Lake) -> dict[str, list[str]]:
    """Return the files of each day."""
    days = [leaf["ds"] for leaf in lake.partitions("user_days")][-DAYS:]
    return {day: lake.paths(lake.require("user_days", ds=day)) for day in days}


def duckdb_list(lake: Lake, out: Path) -> None:
    """Write roaring bitmaps, made from DuckDB's lists of ordinals."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    connection.execute(
        f"CREATE VIEW f AS SELECT * FROM "
        f"read_parquet({lake.paths(lake.require('user_features', ds=DS))}, hive_partitioning = false)"
    )
    views = [
        f"SELECT *, '{day}' AS day FROM read_parquet({paths}, hive_partitioning = false)"
        for day, paths in day_sources(lake).items()
    ]
    connection.execute(f"CREATE VIEW d AS {' UNION ALL '.join(views)}")
    with pq.ParquetWriter(
        out / "bitmaps.parquet", pa.schema([("k", pa.string()), ("bitmap", pa.binary())]), compression="none"
    ) as writer:
        for select in selects(", unnest({0}) AS u(v)", "(({0} >> {1}) & 1)"):
            reader = connection.execute(
                f"SELECT k, list(ordinal) AS members FROM ({select}) GROUP BY k"
            ).to_arrow_reader(1000)
            for batch in reader:
                writer.write_table(
                    pa.table(
                        {
                            "k": batch.column(0),
                            "bitmap": pa.array(list(serialized(batch.column(1))), pa.binary()),
                        }
                    )
                )


def serialized(members: pa.ListArray) -> list[bytes]:
    """Return each list of ordinals as a serialised roaring bitmap."""
    offsets, flat = members.offsets.to_numpy(), members.values.to_numpy()
    blobs = []
    for i in range(len(members)):
        bitmap = BitMap(np.ascontiguousarray(flat[offsets[i] : offsets[i + 1]]))
        bitmap.run_optimize()
        blobs.append(bitmap.serialize())
    return blobs


def spark_bitmap_construct_agg(lake: Lake, out: Path) -> None:
    """Write Spark's own bitmaps, in buckets of 32,768 people."""
    from spark_jobs.running.session import spark_session

    with spark_session("bitmap_construct_agg") as spark:
        spark.read.parquet(*lake.paths(lake.require("user_features", ds=DS))).createOrReplaceTempView("f")
        parts = []
        for day, paths in day_sources(lake).items():
            spark.read.parquet(*paths).createOrReplaceTempView(f"d_{day.replace('-', '_')}")
            parts.append(f"SELECT *, '{day}' AS day FROM d_{day.replace('-', '_')}")
        spark.sql(" UNION ALL ".join(parts)).createOrReplaceTempView("d")
        rows = " UNION ALL ".join(selects("LATERAL VIEW explode({0}) u AS v", "(shiftright({0}, {1}) & 1)"))
        spark.sql(
            "SELECT k, bitmap_bucket_number(cast(ordinal AS bigint)) AS bucket,"
            f" bitmap_construct_agg(bitmap_bit_position(cast(ordinal AS bigint))) AS bitmap FROM "
            f"({rows}) GROUP BY ALL"
        ).write.mode("overwrite").parquet(str(out))


PEERS = {"spark_bitmap_construct_agg": spark_bitmap_construct_agg, "duckdb_list": duckdb_list}


def main(argv: Sequence[str]) -> None:
    """Build one peer's bitmaps: NAME FOLDER OUT."""
    name, folder, out = argv[0], Path(argv[1]), Path(argv[2])
    out.mkdir(parents=True, exist_ok=True)
    PEERS[name](Lake.open(str(folder / "lake")), out)


if __name__ == "__main__":
    main(sys.argv[1:])

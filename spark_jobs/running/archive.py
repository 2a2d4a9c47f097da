"""Make Spark start in less than half the time on this machine.

`make setup` runs `python -m spark_jobs.running.archive`. It writes an archive of the classes that our jobs
load (the JVM's class data sharing) beside the environment; `commands.loop.environment` names it to every JVM
that is started for local work. Reads nothing. A small night is mostly JVMs that start, load the same nine
thousand classes and compile them: the archive and the quick compiler save three fifths of index_users on
100,000 people (27 to 11 CPU seconds; build_features 29 to 17). Surprise: a JVM of another version or class
path ignores the archive and starts as it always did.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from spark_jobs import QUICK_JVM, SPARK_ARCHIVE


def _work(folder: str) -> None:
    """Load what the jobs load.

    Parquet, sorts, windows, joins, aggregates, and Arrow to Python and back.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    from spark_jobs.running.session import ShardResult, run_shards, spark_session

    with spark_session("archive") as spark:
        rows = spark.range(1000).select(
            F.col("id"),
            (F.col("id") % 7).alias("group"),
            F.concat(F.lit("u"), "id").alias("name"),
            F.current_timestamp().alias("at"),
        )
        rows.write.parquet(f"{folder}/rows")
        read = spark.read.parquet(f"{folder}/rows").where(F.col("name").rlike("^u") & F.col("at").isNotNull())
        ranked = read.withColumn("rank", F.row_number().over(Window.partitionBy("group").orderBy("name")))
        counts = read.groupBy("group").agg(
            F.max_by(F.struct("name"), F.col("at"))["name"].alias("last"), F.count("*").alias("n")
        )
        joined = (
            ranked.join(counts, "group")
            .join(read.select("id").distinct(), "id", "left_anti")
            .union(ranked.join(counts, "group"))
        )
        arrow = joined.select("id", "group").mapInArrow(lambda batches: batches, "id long, group long")
        arrow.groupBy("group").applyInArrow(lambda table: table.slice(0, 1), "id long, group long").orderBy(
            "id"
        ).collect()
        spark.createDataFrame(pa.table({"name": ["u1"]}).to_pandas()).join(read, "name").count()
        run_shards(spark, range(2), lambda shard: ShardResult(shard, []))


def main() -> int:
    """Write the archive; without it, jobs only start slower."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=sys.prefix, prefix="archive-") as folder:
        fresh = Path(folder) / "spark.jsa"
        os.environ["SPARK_SUBMIT_OPTS"] = (
            f'{QUICK_JVM} "-XX:ArchiveClassesAtExit={fresh}" -Xlog:cds=off -Xlog:cds+dynamic=off'
        )
        try:
            from pyspark import SparkContext

            _work(folder)
            gateway = SparkContext._gateway
            process = gateway.proc if gateway is not None else None
            if process is not None:
                gateway.shutdown()
                # The JVM ends when its parent closes the pipe, and writes the archive then.
                process.stdin.close()
                process.wait(timeout=120)
            fresh.replace(SPARK_ARCHIVE)
        except Exception as error:  # noqa: BLE001 - whatever it is, jobs only start slower
            sys.stderr.write(
                f"no class archive ({type(error).__name__}): Spark jobs start slower, nothing else changes\n"
            )
            return 0
    sys.stderr.write(
        f"class archive for Spark: {SPARK_ARCHIVE.stat().st_size >> 20} MiB, "
        f"{time.monotonic() - began:.0f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

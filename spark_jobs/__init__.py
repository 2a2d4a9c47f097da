"""One file per Spark job, verb_noun == task_id: a pure transform, and a main around it.

Run one with `spark-submit spark_jobs/NAME.py --ds D`, or several in one session with `python -m spark_jobs
NAME [NAME ...] --ds D`.
"""

import sys
from pathlib import Path

import angelia  # noqa: F401  takes Ctrl-C before the heavy imports

JOBS = (
    "index_users",
    "aggregate_days",
    "build_features",
    "build_send_times",
    "build_bitmaps",
    "select_audiences",
    "score_materials",
    "plan_dispatch",
    "emit_manifests",
)

# Local jobs work for seconds: no deep optimisation, one thread of garbage collection, and classes from an
# archive (`spark_jobs.running.archive`).
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# From a few million people on they work for minutes in the JVM itself, in sorts and exchanges.
LONG_JVM = "-XX:+UseParallelGC"
SPARK_ARCHIVE = Path(sys.prefix) / "spark.jsa"

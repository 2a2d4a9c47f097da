"""Make a lake, a model and a catalog with an older release's own code.

A script: it runs with that release on its path, without the present code. Words: home, day, users.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from angelia.commands.loop import PROJECT, environment
from spark_jobs.running.session import OPTIONS
from tests.nights import run_night


def main(home: Path, day: str, users: str) -> None:
    """Make a population of so many, load it, train on it, and plan a night."""
    os.environ.update({**environment(home), "ANGELIA_SHARD_BITS": "8", "PYSPARK_PYTHON": sys.executable})
    for words in (
        ("catalog", "apply", str(PROJECT / "campaigns"), "--actor", "older", "--on", day),
        ("world", "create", "--users", users, "--days", "14", "--ds", day),
        ("bootstrap", "--ds", day),
        ("catalog", "snapshot", "--ds", day),
    ):
        subprocess.run([sys.executable, "-m", "angelia.cli", *words], check=True)
    builder = SparkSession.builder.master("local[2]").appName("older release")
    for name, value in {**OPTIONS, "spark.driver.memory": "1g", "spark.ui.enabled": "false"}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        run_night(home, day, shard_bits=8)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])

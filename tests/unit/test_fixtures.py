"""The shared fixtures do what their docstrings promise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from angelia.config import load_settings
from angelia.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_lake_and_settings_name_the_same_folder(settings_home: Path, lake: Lake) -> None:
    settings = load_settings()
    assert Path(settings.lake_url()) == settings_home / "lake"
    assert settings.lake_url() == lake.store.url
    assert settings.shard_bits == 14


def test_spark_workers_run_this_interpreter_and_speak_arrow(spark: SparkSession) -> None:
    def who(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"python": [sys.executable] * batch.num_rows})

    rows = spark.range(3, numPartitions=2).mapInArrow(who, "python string").toPandas()
    assert [Path(path).resolve() for path in rows["python"]] == [Path(sys.executable).resolve()] * 3
    assert os.environ["SPARK_HOME"].endswith("pyspark")

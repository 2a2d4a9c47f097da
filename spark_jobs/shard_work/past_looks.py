"""What a person looked at before the window, kept compactly: user_looks.

Part of score_materials. Grain: user x category; hours with a look, halved every 180 days. It is continued
once a week, as user_hours is (`past_hours`), so that likings rest on a year of looks and a night reads no
more days than before. Surprise: only categories that materials have are kept; a category that comes later
begins with the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from angelia.contracts import dataset
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from models.taste import LOOK_COLUMNS, LOOKS_HALF_LIFE, PastLooks, visits
from spark_jobs.running.reading import ints, read_window
from spark_jobs.running.session import ShardResult
from spark_jobs.shard_work.past_hours import PastHoursUpdate, continued

GRAIN = 2.0**12  # kept looks are multiples of 1/4096: exact in float32


def past_looks(
    spark: SparkSession,
    lake: Lake,
    features: Commit,
    last_day: str,
    shards: list[int],
    shard_bits: int,
    categories: Sequence[str],
) -> Commit | None:
    """Return the newest record of looks up to a day, continued first if a week is due.

    None if no day so early was ever aggregated.
    """
    work = partial(fold_shard, tuple(categories))
    return continued(spark, lake, "user_looks", features, last_day, shards, shard_bits, work)


def fold_shard(categories: tuple[str, ...], fold: PastHoursUpdate, folder: str, shard: int) -> ShardResult:
    """Write one shard's looks, old ones faded and new ones added."""
    lo, hi = shard << fold.shard_bits, (shard + 1) << fold.shard_bits
    ordinal = ints(fold.lake.read(fold.features, ["ordinal"], where=in_shard(shard))["ordinal"])
    ordinal = np.sort(ordinal[(ordinal >= lo) & (ordinal < hi)])
    n, k = len(ordinal), len(categories)
    kept = np.zeros((n, k))
    if fold.before is not None:
        old = fold.lake.read(fold.before, LOOK_COLUMNS, where=in_shard(shard))
        kept = PastLooks.of(old, ordinal, day=0).counts(categories, n)
    for _, length, window in fold.parts:
        days = read_window(fold.lake, "user_days", window, ["item", "hours"], shard, fold.shard_bits)
        days = days.filter(pc.less(days["row"], n))  # the index may have grown since the features were built
        seen = visits(days, categories, since=-1, day=length - 1, n=n, half_life=LOOKS_HALF_LIFE)
        kept = kept * 0.5 ** (length / LOOKS_HALF_LIFE) + seen
    kept = np.round(kept * GRAIN) / GRAIN
    row, column = np.nonzero(kept)
    names = pa.array(categories, pa.string())
    columns = {
        "ordinal": pa.array(ordinal[row].astype(np.uint32)),
        "item": names.take(pa.array(column)),
        "looks": pa.array(kept[row, column].astype(np.float32)),
    }
    table = pa.table({name: columns[name] for name in dataset("user_looks").names})
    entry = fold.lake.write_file(
        "user_looks", folder, table, f"shard-{shard:05d}.parquet", shards=(shard, shard)
    )
    return ShardResult(shard, [entry])

"""What a person looked at and opened before the window, kept compactly: user_looks.

Part of score_materials. Grain: user x category; hours with a look, pushes and opens, halved every 180 days.
It is continued once a week, as user_hours is (`past_hours`), so that likings rest on a year of looks and open
rates on a year of pushes, and a night reads no more days than before. Surprise: only categories that
materials have are kept; a category that comes later begins with the window, and pushes about none are left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from angelia.contracts import dataset
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard
from models.taste import LOOK_COLUMNS, LOOKS_HALF_LIFE, Floats, PastLooks, visits
from spark_jobs.running.reading import ints, read_window
from spark_jobs.running.session import ShardResult
from spark_jobs.shard_work.past_hours import PastHoursUpdate, continued

GRAIN = 2.0**12  # kept looks are multiples of 1/4096: exact in float32
COUNTED = ("looks", "sent", "opened")


def past_looks(
    spark: SparkSession,
    lake: Lake,
    features: Commit,
    last_day: str,
    shards: list[int],
    shard_bits: int,
    category_of: Mapping[str, str],
) -> Commit | None:
    """Return the newest record of looks up to a day, continued first if a week is due.

    None if no day so early was ever aggregated. `category_of` is material -> category.
    """
    work = partial(fold_shard, category_of)
    return continued(
        spark, lake, "user_looks", features, last_day, shards, shard_bits, work, with_pushes=True
    )


def fold_shard(category_of: Mapping[str, str], fold: PastHoursUpdate, folder: str, shard: int) -> ShardResult:
    """Write one shard's looks and pushes, old ones faded and new ones added."""
    categories = sorted(set(category_of.values()))
    lo, hi = shard << fold.shard_bits, (shard + 1) << fold.shard_bits
    ordinal = ints(fold.lake.read(fold.features, ["ordinal"], where=in_shard(shard))["ordinal"])
    ordinal = np.sort(ordinal[(ordinal >= lo) & (ordinal < hi)])
    n, k = len(ordinal), len(categories)
    kept = {name: np.zeros((n, k)) for name in COUNTED}
    if fold.before is not None:
        old = PastLooks.of(fold.lake.read(fold.before, LOOK_COLUMNS, where=in_shard(shard)), ordinal, day=0)
        kept = {name: old.counts(categories, n, name) for name in COUNTED}
    for (_, length, window), pushed in zip(fold.parts, fold.pushes, strict=True):
        days = read_window(fold.lake, "user_days", window, ["item", "hours"], shard, fold.shard_bits)
        days = days.filter(pc.less(days["row"], n))  # the index may have grown since the features were built
        seen = visits(days, categories, since=-1, day=length - 1, n=n, half_life=LOOKS_HALF_LIFE)
        pushes = read_window(
            fold.lake, "user_pushes", pushed, ["kind", "material_id"], shard, fold.shard_bits
        )
        pushes = pushes.filter(pc.less(pushes["row"], n))
        new = {"looks": seen} | count_pushes(pushes, category_of, categories, day=length - 1, n=n)
        kept = {name: old * 0.5 ** (length / LOOKS_HALF_LIFE) + new[name] for name, old in kept.items()}
    kept = {name: np.round(counts * GRAIN) / GRAIN for name, counts in kept.items()}
    row, column = np.nonzero(sum(kept.values()))
    names = pa.array(categories, pa.string())
    columns = {
        "ordinal": pa.array(ordinal[row].astype(np.uint32)),
        "item": names.take(pa.array(column)),
        **{name: pa.array(counts[row, column].astype(np.float32)) for name, counts in kept.items()},
    }
    table = pa.table({name: columns[name] for name in dataset("user_looks").names})
    entry = fold.lake.write_file(
        "user_looks", folder, table, f"shard-{shard:05d}.parquet", shards=(shard, shard)
    )
    return ShardResult(shard, [entry])


def count_pushes(
    pushes: pa.Table, category_of: Mapping[str, str], categories: Sequence[str], *, day: int, n: int
) -> dict[str, Floats]:
    """Return the pushes of n users about each category, and those opened, (n, categories) each.

    Each is halved every `LOOKS_HALF_LIFE` days up to `day`.
    """
    names = pushes["material_id"].combine_chunks().dictionary_encode()
    place = {name: column for column, name in enumerate(categories)}
    codes = [place.get(category_of.get(name, ""), -1) for name in names.dictionary.to_pylist()]
    column = np.array([*codes, -1], np.int64)[names.indices.fill_null(len(codes)).to_numpy()]
    faded = 0.5 ** ((day - ints(pushes["day"])) / LOOKS_HALF_LIFE)
    cell, size = ints(pushes["row"]) * len(categories) + column, n * len(categories)
    counts = {}
    for kind in ("sent", "opened"):
        here = np.asarray(pc.equal(pushes["kind"], kind).to_numpy(zero_copy_only=False)) & (column >= 0)
        counts[kind] = np.bincount(cell[here], weights=faded[here], minlength=size)
    return {kind: values.reshape(n, -1) for kind, values in counts.items()}

"""The stored files that the index benchmark builds from, written through the lake.

An index of users, their features, and their days.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.lake import Commit, Lake
from angelia.users.chain import append_files, write_users

DS = "2026-11-14"
DAYS = 28
SHARD_BITS = 18
CHUNK = 1 << SHARD_BITS
TEXTS = {"gender": 3, "country": 40, "province": 300, "locale": 30, "timezone": 40, "device_vendor": 12}
LISTS = {"tags": 20, "channels": 5, "opted_out_topics": 6}
TOPS = {
    "quiet_start": 23,
    "quiet_end": 23,
    "age_years": 90,
    "membership_level": 6,
    "days_since_signup": 2000,
    "n_active_days_28d": 28,
}
NUMBERS = {
    "age_years": 7, "membership_level": 3, "days_since_signup": 11, "n_events_1d": 6, "n_events_7d": 6,
    "n_events_28d": 6,
    "n_active_days_28d": 5, "n_purchases_28d": 6, "days_since_event": 6, "days_since_purchase": 6,
    "n_pushes_7d": 6, "n_pushes_28d": 6,
    "n_opens_28d": 6, "days_since_push": 6, "quiet_start": 5, "quiet_end": 5,
}  # fmt: skip
FRACTIONS = {"value_28d": 14, "open_rate_28d": 7, "uplift_score": 7}  # bits of their hundredths


def features(first: int, n: int, seed: int) -> pa.Table:
    """Return user_features rows of n people from ordinal `first` on.

    A tenth of every nullable value is NULL; places come in stretches.
    """
    rng = np.random.default_rng([seed, first])
    columns: dict[str, pa.Array] = {}
    for field in arrow.schema(dataset("user_features")):
        null = pa.array(rng.random(n) < 0.1) if field.nullable else None
        if field.name == "ordinal":
            values: pa.Array = pa.array(np.arange(first, first + n, dtype=np.uint32))
            null = None
        elif field.name == "user_id":
            values = pa.array([f"u{i}" for i in range(first, first + n)])
            null = None
        elif field.name in TEXTS:
            codes = rng.zipf(1.5, n) % TEXTS[field.name]
            if field.name in ("country", "province", "timezone"):
                codes = np.sort(codes)  # ordinals are given in this order
            names = pa.array([f"{field.name}_{i}" for i in range(TEXTS[field.name])])
            values = names.take(pa.array(codes))
        elif field.name in LISTS:
            sizes = rng.integers(0, 4, n)
            names = pa.array([f"{field.name}_{i}" for i in range(LISTS[field.name])])
            flat = names.take(pa.array(rng.integers(0, LISTS[field.name], sizes.sum())))
            values = pa.ListArray.from_arrays(
                pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)), flat
            )
            null = None
        elif pa.types.is_boolean(field.type):
            values = pa.array(rng.random(n) < 0.03)
        elif pa.types.is_floating(field.type):
            values = pa.array(np.round(rng.random(n) * (100 if field.name == "value_28d" else 1), 2))
        else:
            values = pa.array(np.minimum(rng.geometric(0.1, n), TOPS.get(field.name, 60)))
        if null is not None:
            values = pa.compute.if_else(null, pa.scalar(None, values.type), values)
        columns[field.name] = values
    return pa.table(columns)


def events(first: int, n: int, seed: int, day: int) -> pa.Table:
    """Return user_days rows of one day: five events a person over the window, in 34 pairs.

    A pair of a person is one row.
    """
    rng = np.random.default_rng([seed, first, day])
    size = round(n * 5 / DAYS)
    keys = np.unique(rng.integers(first, first + n, size) * 34 + rng.zipf(1.3, size) % 34)
    ordinals, pair, size = (keys // 34).astype(np.uint32), keys % 34, len(keys)
    items = pa.array([f"item_{i}" for i in range(34)])
    return pa.table(
        {
            "ordinal": ordinals,
            "event_type": pa.array(["view", "cart", "purchase", "open"]).take(pa.array(pair % 4)),
            "item": items.take(pa.array(pair)),
            "n_events": np.minimum(rng.geometric(0.7, size), 9).astype(np.int32),
            "value_sum": np.zeros(size),
            "hours": np.ones(size, np.int32),
        }
    )


def write_sources(lake: Lake, users: int, seed: int) -> Commit:
    """Write the index, features and days; return the features' commit."""
    spans = [(first, min(CHUNK, users - first)) for first in range(0, users, CHUNK)]
    ids = [
        pa.table(
            {"user_id": [f"u{i}" for i in range(a, a + n)], "ordinal": pa.array(range(a, a + n), pa.uint32())}
        )
        for a, n in spans
    ]
    index = append_files(
        lake,
        "user_index",
        lambda folder: [write_users(lake, "user_index", folder, table, SHARD_BITS) for table in ids],
        expected=None,
        shard_bits=SHARD_BITS,
    )
    with lake.attempt("user_features", ds=DS) as attempt:
        for shard, (first, n) in enumerate(spans):
            attempt.write(features(first, n, seed), f"shard-{shard:05d}.parquet", shards=(shard, shard))
        commit = attempt.publish(inputs=[index])
    for day in range(DAYS):
        with lake.attempt(
            "user_days", ds=(date.fromisoformat(DS) - timedelta(days=day)).isoformat()
        ) as attempt:
            for shard, (first, n) in enumerate(spans):
                attempt.write(
                    events(first, n, seed, day), f"shard-{shard:05d}.parquet", shards=(shard, shard)
                )
            attempt.publish(inputs=[index])
    return commit

"""What an index says, counted from its own sets, to compare engines by content.

`cards`: people of each set of people (texts, lists, flags, who is known, who did what on a day). `totals`:
sums of numbers, and of counts of events, that the bit slices amount to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.audience.bitmaps.blobs import Blobs
from angelia.audience.bitmaps.sets import to_dense
from angelia.lake import Commit, Lake
from benchmarks.measured.index_sources import DS, FRACTIONS

Content = tuple[dict[str, int], dict[str, int]]
NAMES = {"tag": "tags", "opted_out": "opted_out_topics", "reachable": "channels"}


def ours(lake: Lake) -> Content:
    """Return what our index says."""
    index = lake.require("bitmap_index", ds=DS)
    cards, totals = defaultdict[str, int](int), defaultdict[str, int](int)
    for _, blobs in files(lake, index):
        width = 1 << int(index.meta["block_bits"])
        for block, field in blobs.spans:
            keys = blobs.keys(block, field)
            for (kind, value, _), row in keys.items():
                if kind == "known":
                    cards[f"{NAMES.get(field, field)}?"] += int(blobs.cardinalities[row])
                elif kind == "value":
                    cards[field if value == "true" else f"{NAMES.get(field, field)}={value}"] += int(
                        blobs.cardinalities[row]
                    )
            slices = {bit: row for (kind, _, bit), row in keys.items() if kind == "slice" and bit is not None}
            if field in FRACTIONS:
                people = blobs.keys(block, "user")["known", None, None]
                known = to_dense(blobs.get(keys.get(("known", None, None), people)), width)
                bits = np.zeros(width, np.uint64)
                for bit, row in slices.items():
                    bits |= np.unpackbits(to_dense(blobs.get(row), width).bits, bitorder="little").astype(
                        np.uint64
                    ) << np.uint64(bit)
                mine = bits[np.unpackbits(known.bits, bitorder="little").view(bool)]
                if (levels := keys.get(("levels", None, None))) is not None:
                    # Slices hold ranks among the levels.
                    values = blobs.arrays(levels)[0][mine]
                else:
                    # Slices hold the bits of the numbers, which are not negative.
                    offset = blobs.rows["offset"][min(slices.values())].as_py()
                    values = (mine + np.uint64(offset)).view(np.float64)
                totals[field] += int(np.rint(values * 100).astype(np.int64).sum())
            elif slices:
                known_row = keys.get(
                    ("known", None, None), blobs.keys(block, "user").get(("known", None, None))
                )
                offset = int(blobs.rows["offset"][min(slices.values())].as_py())
                totals[field] += offset * int(blobs.cardinalities[known_row]) + sum(
                    int(blobs.cardinalities[row]) << bit for bit, row in slices.items()
                )
    for name in index.inputs:
        if name.startswith("bitmap_days/"):
            commit = lake.cited(name)
            for day, blobs in files(lake, commit):
                for block, field in blobs.spans:
                    key = f"{field.removeprefix('event:')}:{day}"
                    for (kind, _, bit), row in blobs.keys(block, field).items():
                        n = int(blobs.cardinalities[row])
                        if kind == "value":
                            cards[key] += n
                        totals[key] += n << (bit or 0)  # presence, and the count less one
    return dict(cards), dict(totals)


def files(lake: Lake, commit: Commit) -> Iterator[tuple[str, Blobs]]:
    """Yield (day, file) of a commit."""
    for entry in commit.files:
        yield commit.partition["ds"], Blobs(lake, entry)


def peer(folder: Path) -> Content:
    """Return what a peer's (k, bitmap) rows say: roaring, or buckets of packed words."""
    counts = defaultdict[str, int](int)
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                is_words = "bucket" in batch.schema.names
                for key, data in zip(batch["k"].to_pylist(), batch["bitmap"].to_pylist(), strict=True):
                    counts[key] += (
                        int(np.bitwise_count(np.frombuffer(data, np.uint8)).sum())
                        if is_words
                        else len(BitMap.deserialize(data))
                    )
    cards = {key: n for key, n in counts.items() if "#" not in key}
    totals = defaultdict[str, int](int)
    for key, n in counts.items():
        name, _, bit = key.partition("#")
        if bit:
            totals[name] += n << int(bit)
    return cards, dict(totals)

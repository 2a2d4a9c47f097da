"""Members of saved audiences as rows, one bitmap per audience and shard, and back."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from angelia.audience.bitmaps.block import Block
from angelia.audience.evaluate import evaluate
from angelia.audience.query import AudienceQuery, by_shard
from angelia.contracts import arrow, dataset
from angelia.lake import Commit, Lake
from angelia.lake.commit import in_shard


def block_members(audience: AudienceQuery, number: int) -> pa.Table:
    """Return a block's audience_members rows, per shard and saved audience, sorted by name.

    Empty audiences have rows too.
    """
    block = Block(audience.index, number)
    rows: dict[str, list[object]] = {"audience": [], "shard": [], "cardinality": [], "bitmap": []}
    for name in sorted(audience.audiences):
        for shard, people in by_shard(block, evaluate(audience.plan(f"in_audience('{name}')"), block)):
            people.run_optimize()
            for column, value in zip(rows, (name, shard, len(people), people.serialize()), strict=True):
                rows[column].append(value)
    return pa.Table.from_pydict(rows, schema=arrow.schema(dataset("audience_members")))


def read_members(
    lake: Lake, commit: Commit, shard: int, names: Collection[str] | None = None
) -> dict[str, BitMap]:
    """Return the members of each audience in one shard of an audience_members commit.

    Args:
        names: read these audiences only; one that the commit lacks is not in the answer.
    """
    rows = lake.read(commit, ["audience", "shard", "bitmap"], where=in_shard(shard))
    rows = rows.filter(pc.equal(rows["shard"], shard))
    if names is not None:
        rows = rows.filter(pc.is_in(rows["audience"], pa.array(sorted(names), pa.string())))
    return {
        name: BitMap.deserialize(data)
        for name, data in zip(rows["audience"].to_pylist(), rows["bitmap"].to_pylist(), strict=True)
    }

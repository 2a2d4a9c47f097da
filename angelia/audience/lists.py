"""Explicit user lists: a CSV or Parquet file of user ids becomes a bitmap per shard that predicates name with
in_list('name').

Reads user_index and the file; writes user_lists. Ids the index does not know are counted, not kept; putting a
list again replaces it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.audience.bitmaps.index import holds_any
from angelia.audience.bitmaps.sets import bitmap_of, ordinals_of
from angelia.contracts import arrow, dataset
from angelia.contracts.sources import NAME
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.users.index import index_head

COLUMN = "user_id"


def read_ids(path: Path) -> pa.ChunkedArray:
    """Return the `user_id` column of a CSV or Parquet file, as text.

    Raises:
        InvalidInput: no such file, another format, or no such column.
    """
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path, columns=[COLUMN], partitioning=None)
        elif path.suffix == ".csv":
            convert = csv.ConvertOptions(
                column_types={COLUMN: pa.string()}, include_columns=[COLUMN], strings_can_be_null=True
            )
            table = csv.read_csv(path, convert_options=convert)
        else:
            raise InvalidInput(f"{path.name} is neither .csv nor .parquet")
    except FileNotFoundError:
        raise InvalidInput(f"no file {path}") from None
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise InvalidInput(
            f"{path.name}: no column {COLUMN!r} can be read from it: {str(error).splitlines()[0][:120]}"
        ) from None
    if COLUMN not in table.column_names:
        raise InvalidInput(f"{path.name} has no column {COLUMN!r}", fix=f"name the column of ids {COLUMN}")
    try:
        return table[COLUMN].cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InvalidInput(
            f"{path.name}: column {COLUMN} is of type {table[COLUMN].type}, not text",
            fix="write the ids as text",
        ) from None


def put_list(lake: Lake, name: str, path: Path) -> Commit:
    """Make (or replace) the list `name` from a file of user ids.

    Raises:
        InvalidInput: the name, or the file, cannot be used.
        NotFound: there is no user index yet.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidInput(f"list name {name!r} must be lower-case letters, digits and _")
    ids = read_ids(path)
    head = index_head(lake)
    if head is None:
        raise NotFound("there is no user index yet", fix="run index_users first")
    given = ids.drop_null()
    wanted = pc.unique(given)
    index = lake.read(head, ["user_id", "ordinal"])
    found = index["ordinal"].filter(pc.is_in(index["user_id"], wanted))
    ordinals = np.sort(found.to_numpy().astype(np.uint32))
    bits = int(head.meta["shard_bits"])
    shards = np.unique(ordinals >> bits)
    rejects = {
        "null_user_id": ids.null_count,
        "duplicate": len(given) - len(wanted),
        "unknown_user": len(wanted) - len(ordinals),
    }
    bitmaps = [bitmap_of(ordinals[(ordinals >> bits) == shard]) for shard in shards]
    table = pa.Table.from_pydict(
        {
            "shard": shards.astype(np.int32),
            "cardinality": [len(b) for b in bitmaps],
            "bitmap": [b.serialize() for b in bitmaps],
        },
        schema=arrow.schema(dataset("user_lists")),
    )
    with lake.attempt("user_lists", list=name) as attempt:
        if table.num_rows:
            attempt.write(table, "members.parquet", shards=(int(shards[0]), int(shards[-1])))
        return attempt.publish(
            inputs=[head],
            meta={"n_users": len(ordinals)},
            rejects={reason: n for reason, n in rejects.items() if n},
        )


def user_ids(lake: Lake, index: Commit, shards: range, members: BitMap) -> pa.Array:
    """Return the user ids of members in some shards, in ordinal order; `index` is the user_index commit the
    bitmaps were made from.
    """
    rows = lake.read(index, ["user_id", "ordinal"], where=holds_any(shards)).combine_chunks()
    mine = rows.filter(pc.is_in(rows["ordinal"], pa.array(ordinals_of(members), pa.uint32()))).sort_by(
        "ordinal"
    )
    column = mine["user_id"]
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())

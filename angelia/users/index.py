"""Append users to the index: the only code that assigns ordinals.

Grain: user. Reads and writes `user_index` (chain). Surprise: a run that loses the race re-reads only what the
winner added, drops those users from its own list, and appends the rest; so an ordinal is never moved, reused
or assigned twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.derived import CHAIN
from angelia.errors import Conflict, NotFound
from angelia.lake import Commit, Lake
from angelia.users.chain import append_chain

MAX_ATTEMPTS = 50
# A file holds whole shards, of at most a million people, so a reader of some shards' ids reads few files.
FILE_BITS = 20


def index_head(lake: Lake) -> Commit | None:
    """Return the newest index, None before the first load."""
    return lake.head("user_index", chain=CHAIN)


def require_index(lake: Lake) -> Commit:
    """Return the newest index, for whoever works on its people.

    Raises:
        NotFound: there is none, or it holds nobody.
    """
    index = lake.require("user_index", chain=CHAIN)
    if not index.meta.get("n_users"):
        raise NotFound(
            f"{index.ref} holds nobody", fix="import profiles with people in them, then run index_users again"
        )
    return index


def append_users(
    lake: Lake,
    users: pa.Table,
    *,
    seen: Commit | None,
    shard_bits: int,
    inputs: Iterable[Commit | str] = (),
    params: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Assign ordinals to users that `seen` lacks, in the given order; return the new index.

    Args:
        users: one column `user_id`, distinct, none of them in `seen`.
        seen: the head the caller compared with (None = no index yet).
        shard_bits: log2 of ordinals per shard; the first load fixes it.

    Raises:
        Conflict: the head moved MAX_ATTEMPTS times in a row.
        InvalidInput: a replay branch, or another `shard_bits` than the index began with.
    """
    fresh, head = users["user_id"].combine_chunks(), seen
    inputs = list(inputs)
    for _ in range(MAX_ATTEMPTS):
        first = head.rows if head else 0
        tables = [
            pa.table(
                {
                    "user_id": fresh.slice(start - first, stop - start),
                    "ordinal": pa.array(np.arange(start, stop, dtype=np.uint32)),
                }
            )
            for start, stop in itertools.pairwise(
                _edges(first, first + len(fresh), max(FILE_BITS, shard_bits))
            )
        ]
        try:
            return append_chain(
                lake,
                "user_index",
                tables,
                expected=head,
                shard_bits=shard_bits,
                inputs=inputs,
                params=params,
                rejects=rejects,
            )
        except Conflict:
            # Another run won the race and may have added some of these users: keep only those it did not.
            moved = lake.require("user_index", chain=CHAIN)
            old = {entry.path for entry in head.files} if head else set()
            added = lake.read(moved, ["user_id"], where=lambda entry, old=old: entry.path not in old)  # type: ignore[misc]
            fresh = fresh.filter(pc.invert(pc.is_in(fresh, added["user_id"].combine_chunks())))
            head = moved
    raise Conflict(
        f"user_index: the head moved {MAX_ATTEMPTS} times in a row",
        fix="run index_users again when fewer runs compete",
    )


def _edges(first: int, stop: int, bits: int) -> list[int]:
    """Return the ordinals at which files from `first` to `stop` meet: multiples of 2^bits."""
    return [first, *range(((first >> bits) + 1) << bits, stop, 1 << bits), stop]

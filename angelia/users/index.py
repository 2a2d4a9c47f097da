"""Append users to the index: the only code that assigns ordinals.

Grain: user. Reads and writes `user_index` (chain). Surprise: a run that loses the race writes its files again
on top of the winner's, without the users whom the winner added; so an ordinal is never moved, reused or
assigned twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.core import CHAIN
from angelia.errors import Conflict, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.commit import FileEntry
from angelia.users.chain import append_files, write_users

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
    ids, old = users["user_id"].combine_chunks(), {entry.path for entry in seen.files} if seen else set()

    def write(head: Commit | None, folder: str) -> list[FileEntry]:
        fresh, first = ids, head.rows if head else 0
        if head is not None and head != seen:
            # Another run won the race and may have added some of these users: keep only those it did not.
            added = lake.read(head, ["user_id"], where=lambda entry: entry.path not in old)
            fresh = ids.filter(pc.invert(pc.is_in(ids, added["user_id"].combine_chunks())))
        files = []
        for start, stop in itertools.pairwise(_edges(first, first + len(fresh), file_bits(shard_bits))):
            if stop > start:
                ordinals = pa.array(np.arange(start, stop, dtype=np.uint32))
                table = pa.table({"user_id": fresh.slice(start - first, stop - start), "ordinal": ordinals})
                files.append(write_users(lake, "user_index", folder, table, shard_bits))
        return files

    return append_written(lake, write, seen=seen, shard_bits=shard_bits)


def append_written(
    lake: Lake,
    write: Callable[[Commit | None, str], list[FileEntry]],
    *,
    seen: Commit | None,
    shard_bits: int,
    inputs: Iterable[Commit | str] = (),
    params: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Append the files that `write` makes for a head; after a lost race, for the next head.

    Args:
        write: gets a head and a folder, writes files there (`users.chain.write_users`) of all users that the
            head lacks, and returns them in order.
        seen: the head to begin with (None = no index yet).

    Raises:
        Conflict: the head moved MAX_ATTEMPTS times in a row.
        InvalidInput: a replay branch, or another `shard_bits` than the index began with.
    """
    head, inputs = seen, list(inputs)
    for _ in range(MAX_ATTEMPTS):
        try:
            return append_files(
                lake,
                "user_index",
                partial(write, head),
                expected=head,
                shard_bits=shard_bits,
                inputs=inputs,
                params=params,
                rejects=rejects,
            )
        except Conflict:
            head = lake.require("user_index", chain=CHAIN)
    raise Conflict(
        f"user_index: the head moved {MAX_ATTEMPTS} times in a row",
        fix="run index_users again when fewer runs compete",
    )


def file_bits(shard_bits: int) -> int:
    """Return log2 of the ordinals of a file: whole shards, and a million people at least."""
    return max(FILE_BITS, shard_bits)


def _edges(first: int, stop: int, bits: int) -> list[int]:
    """Return the ordinals at which files from `first` to `stop` meet: multiples of 2^bits."""
    return [first, *range(((first >> bits) + 1) << bits, stop, 1 << bits), stop]

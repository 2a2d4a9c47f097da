"""Append-only chains: every commit of the user index lists all earlier files and its own.

Grain: commit of `user_index` (leaf chain=0, one for the whole lake). A writer that loses the race gets a
Conflict, re-reads the head and appends again. Replays never append, and `shard_bits` never changes, because
every existing file relies on its ordinals and shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from angelia.contracts.core import CHAIN
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake
from angelia.lake.commit import FileEntry

Writer = Callable[[str], Sequence[FileEntry]]


def write_users(lake: Lake, name: str, folder: str, table: pa.Table, shard_bits: int) -> FileEntry:
    """Write one file of consecutive ordinals below an attempt; also called on executors."""
    first, last = table["ordinal"][0].as_py(), table["ordinal"][-1].as_py()
    shards = first >> shard_bits, last >> shard_bits
    return lake.write_file(name, folder, table, file_name(first), shards=shards)


def file_name(first: int) -> str:
    """Return the name of the file that begins with an ordinal; names sort as ordinals do."""
    return f"from-{first:010d}.parquet"


def append_files(
    lake: Lake,
    name: str,
    write: Writer,
    *,
    expected: Commit | None,
    shard_bits: int,
    inputs: Iterable[Commit | str] = (),
    params: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Append files of users to the head that was read, and return the new head.

    With nothing to append, `expected` itself is returned.

    Args:
        write: writes them below the folder that it is given, by `write_users`, and returns them in order.
        expected: the head that the caller read (`index_head`), None if there was none.
        shard_bits: log2 of ordinals per shard; the first commit records it, with `n_users`, in its meta.

    Raises:
        Conflict: another writer appended meanwhile; nothing was written. Read the head again and append
            again.
        InvalidInput: a replay branch, another `shard_bits` than the chain's, or files that do not continue
            it.
    """
    if lake.branch != "main":
        raise InvalidInput(
            f"{name} is append-only and never written on {lake.branch}",
            fix="run index_users on main first; a replay reads main's index",
        )
    if expected and int(expected.meta["shard_bits"]) != shard_bits:
        raise InvalidInput(
            f"{name} was begun with shard_bits {expected.meta['shard_bits']}, not {shard_bits}",
            fix=f"set ANGELIA_SHARD_BITS={expected.meta['shard_bits']}, or begin a new lake",
        )
    with lake.attempt(name, chain=CHAIN) as attempt:
        files = write(attempt.folder)
        if expected and not files:
            return expected
        # Earlier files are listed again, not copied: a commit of the chain is the whole index.
        for entry in expected.files if expected else ():
            attempt.add(entry)
        n_users = expected.rows if expected else 0
        for entry in files:
            if entry.name != file_name(n_users):
                raise InvalidInput(f"{name}: {entry.name} does not continue {n_users:,} users")
            attempt.add(entry)
            n_users += entry.rows
        return attempt.publish(
            inputs=inputs,
            params=params,
            meta={"shard_bits": shard_bits, "n_users": n_users},
            rejects=rejects,
            expected=expected.number if expected else 0,
        )

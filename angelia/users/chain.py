"""Append-only chains: every commit of the user index lists all earlier files and its own.

Grain: commit of `user_index` (leaf chain=0, one for the whole lake). A writer that loses the race gets a
Conflict, re-reads the head and appends again. Replays never append, and `shard_bits` never changes, because
every existing file relies on its ordinals and shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.derived import CHAIN
from angelia.errors import InvalidInput
from angelia.lake import Commit, Lake


def append_chain(
    lake: Lake,
    name: str,
    tables: Sequence[pa.Table],
    *,
    expected: Commit | None,
    shard_bits: int,
    inputs: Iterable[Commit | str] = (),
    params: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Append users to the head that was read, and return the new head.

    With nothing to append, `expected` itself is returned.

    Args:
        tables: one file each, in order; their ordinals continue the head's without a gap.
        expected: the head that the caller read (`index_head`), None if there was
            none.
        shard_bits: log2 of ordinals per shard; the first commit records it, with `n_users`, in its meta.

    Raises:
        Conflict: another writer appended meanwhile; nothing was written. Read the head again and append
            again.
        InvalidInput: a replay branch, another `shard_bits` than the chain's, or ordinals that do not continue
            it.
    """
    if lake.branch != "main":
        raise InvalidInput(
            f"{name} is append-only and never written on {lake.branch}",
            fix="run index_users on main first; a replay reads main's index",
        )
    known = expected.rows if expected else 0
    if expected and int(expected.meta["shard_bits"]) != shard_bits:
        raise InvalidInput(
            f"{name} was begun with shard_bits {expected.meta['shard_bits']}, not {shard_bits}",
            fix=f"set ANGELIA_SHARD_BITS={expected.meta['shard_bits']}, or begin a new lake",
        )
    tables = [table for table in tables if table.num_rows]
    if expected and not tables:
        return expected
    # A gap or a repeat would give one ordinal two meanings in every file that exists.
    next_ordinal = known
    for table in tables:
        ordinals = table["ordinal"].cast(pa.int64())
        wanted = pa.array(np.arange(next_ordinal, next_ordinal + table.num_rows))
        if not pc.all(pc.equal(ordinals.combine_chunks(), wanted)).as_py():
            raise InvalidInput(f"{name}: ordinals must be consecutive from {next_ordinal}, in row order")
        next_ordinal += table.num_rows
    with lake.attempt(name, chain=CHAIN) as attempt:
        # Earlier files are listed again, not copied: a commit of the chain is the whole index.
        for entry in expected.files if expected else ():
            attempt.add(entry)
        first = known
        for table in tables:
            last = first + table.num_rows - 1
            # A commit's files are sorted by name; the first ordinal in it keeps reading in ordinal order.
            attempt.write(
                table, f"from-{first:010d}.parquet", shards=(first >> shard_bits, last >> shard_bits)
            )
            first = last + 1
        return attempt.publish(
            inputs=inputs,
            params=params,
            meta={**(meta or {}), "shard_bits": shard_bits, "n_users": next_ordinal},
            rejects=rejects,
            expected=expected.number if expected else 0,
        )

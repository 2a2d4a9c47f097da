"""People appended to the index as `index_users` does it, from tables that a test holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from angelia.lake import Commit, Lake
from angelia.lake.commit import FileEntry
from angelia.users.chain import append_files, write_users


def append_people(
    lake: Lake,
    tables: Sequence[pa.Table],
    *,
    shard_bits: int,
    expected: Commit | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Append tables of consecutive ordinals to the head, a file each; empty ones leave no file."""

    def write(folder: str) -> list[FileEntry]:
        filled = (table for table in tables if table.num_rows)
        return [write_users(lake, "user_index", folder, table, shard_bits) for table in filled]

    return append_files(lake, "user_index", write, expected=expected, shard_bits=shard_bits, rejects=rejects)

"""One file's rows: whether they hold a person, and the rows with a tombstone instead.

Reads files of the lake; writes nothing. Rows keep their place, because ledgers point at rows by number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from angelia.contracts import dataset
from angelia.errors import InvalidInput, NotFound
from angelia.lake.commit import FileEntry
from angelia.lake.erasing.journal import ErasedPerson
from angelia.lake.lake import Lake

USER = "user_id"


def users_of(lake: Lake, entry: FileEntry) -> pa.Array | None:
    """Return a file's user ids without surrounding blanks; None without such a text column."""
    try:
        column = lake.read_file(entry, [USER])[USER]
    except InvalidInput:
        return None
    return _texts(column)


def _texts(column: pa.ChunkedArray) -> pa.Array | None:
    if not (
        pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_dictionary(column.type)
    ):
        return None
    return pc.utf8_trim_whitespace(column.cast(pa.string()).combine_chunks())


def rows_of(users: pa.Array | None, people: Iterable[str]) -> list[int]:
    """Return the numbers of the rows that belong to these people."""
    if users is None:
        return []
    rows: list[int] = pc.indices_nonzero(pc.is_in(users, pa.array(sorted(people), pa.string()))).to_pylist()
    return rows


def holds(lake: Lake, entry: FileEntry, people: Mapping[str, ErasedPerson]) -> bool:
    """Return whether a file that a commit names holds any of these people."""
    return bool(rows_of(users_of(lake, entry), people))


def file_holds(lake: Lake, key: str, people: Mapping[str, ErasedPerson]) -> bool:
    """Return whether a file that no commit names holds anybody; an unreadable one might."""
    try:
        data = lake.store.read(key)
        file = pq.ParquetFile(pa.BufferReader(data))
        users = _texts(file.read([USER])[USER]) if USER in file.schema_arrow.names else None
    except NotFound:
        return False
    except (pa.ArrowInvalid, OSError):
        return any(name.encode() in data for name in people)
    return bool(rows_of(users, people))


def without(table: pa.Table, name: str, people: Mapping[str, ErasedPerson]) -> tuple[pa.Table, int]:
    """Return the table with these people's rows under their tombstones, and how many.

    Rows keep their place. Ids and addresses are replaced; other texts of such a row lose the id where it is a
    part of them (`sandbox-{user_id}`).
    """
    users = _texts(table[USER])
    assert users is not None
    rows = rows_of(users, people)
    owners = [users[row].as_py() for row in rows]
    contract = dataset(name)
    # Row n + i of a column with the new values behind it is the new value of rows[i]: any type, and only
    # these rows become Python objects.
    order = np.arange(table.num_rows)
    order[rows] = table.num_rows + np.arange(len(rows))
    for position, column in enumerate(table.schema):
        if not _has_text(column.type):
            continue
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        old = table.column(position).cast(kind).combine_chunks()
        is_personal = column.name in contract and contract[column.name].personal
        values = [
            _new_value(column.name, value, is_personal, owner, people[owner].tombstone, row)
            for value, owner, row in zip(old.take(pa.array(rows)).to_pylist(), owners, rows, strict=True)
        ]
        table = table.set_column(
            position,
            pa.field(column.name, kind),
            pa.concat_arrays([old, pa.array(values, kind)]).take(pa.array(order)),
        )
    return table, len(rows)


def _new_value(column: str, value: object, is_personal: bool, owner: str, tombstone: str, row: int) -> object:
    if column == USER:
        return tombstone
    if is_personal and isinstance(value, str):
        # Template values are a JSON object; addresses stay distinct within a person: they are a key.
        return "{}" if column == "fields" else f"{tombstone}-{row}"
    return _cleared(value, owner, tombstone)


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _cleared(value: object, owner: str, tombstone: str) -> object:
    """Return a value without the owner's id: a text, or a list or record of them."""
    if isinstance(value, str):
        # Whole words only: u1 is not part of u12.
        return (
            re.sub(rf"(?<![A-Za-z0-9]){re.escape(owner)}(?![A-Za-z0-9])", tombstone, value)
            if owner in value
            else value
        )
    if isinstance(value, list):
        return [_cleared(part, owner, tombstone) for part in value]
    if isinstance(value, dict):
        return {key: _cleared(part, owner, tombstone) for key, part in value.items()}
    return value

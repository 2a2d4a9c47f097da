"""Explicit user lists: a CSV or Parquet file of ids becomes one bitmap per shard.

Predicates name it with in_list('name'). Reads user_index and the file; writes user_lists. Ids the index does
not know are counted, not kept; a list of the same name is replaced. A file that names nobody, or mostly
unknown people, is refused unless forced.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyroaring import BitMap

from angelia.audience.bitmaps.index import holds_any
from angelia.audience.bitmaps.sets import bitmap_of, ordinals_of
from angelia.contracts import arrow, dataset
from angelia.contracts.constraints import type_name
from angelia.contracts.sources import MISSING_IDS, NAME
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.text_files import require_utf8
from angelia.users.index import index_head

COLUMN = "user_id"
_HEADER_CHARS = 1 << 16
_IDS_PER_PART = 1_000_000
MIN_KNOWN = 0.5  # share of a list's ids that the index must know


def kind_of(path: Path) -> str:
    """Return what a file of ids is by its name, whatever its case: `parquet` or `csv`.

    Raises:
        InvalidInput: neither.
    """
    kinds = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv"}
    if path.suffix.lower() not in kinds:
        raise InvalidInput(f"{path.name} is neither .csv nor .parquet")
    return kinds[path.suffix.lower()]


def read_ids(path: Path) -> pa.ChunkedArray:
    """Return the `user_id` column of a CSV or Parquet file, as text without blanks around it.

    Raises:
        InvalidInput: no such file, another format, no such column, or a line with too many or too few cells.
    """
    kind = kind_of(path)
    if not path.is_file():
        raise InvalidInput(f"{path} is a folder, not a file" if path.is_dir() else f"no file {path}")
    ids = _parquet_ids(path) if kind == "parquet" else _csv_ids(path)
    trimmed = pc.utf8_trim_whitespace(ids)
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def _parquet_ids(path: Path) -> pa.ChunkedArray:
    try:
        with pq.ParquetFile(path) as file:
            if COLUMN not in file.schema_arrow.names:
                raise InvalidInput(
                    f"{path.name} has no column {COLUMN!r}", fix=f"name the column of ids {COLUMN}"
                )
            ids = file.read(columns=[COLUMN])[COLUMN]
    except (pa.ArrowException, OSError):
        raise InvalidInput(f"{path.name} cannot be read as Parquet", fix="write it again") from None
    try:
        return ids.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InvalidInput(
            f"{path.name}: column {COLUMN} is of type {type_name(ids.type)}, not text",
            fix="write the ids as text",
        ) from None


def _csv_ids(path: Path) -> pa.ChunkedArray:
    require_utf8(path)
    parts: list[pa.Array] = []
    ids: list[str] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator, n_before = _separator(path)
        rows = csv.reader(file, delimiter=separator, strict=True)
        line = 0
        try:
            for _ in range(n_before):
                next(rows)
            header = [cell.strip().lower() for cell in next(rows)]
            position, line = header.index(COLUMN), rows.line_num
            for cells in rows:
                first, line = line + 1, rows.line_num
                # Our ids have no line breaks, so a record over several lines means a quote that was left
                # open.
                if line != first:
                    raise InvalidInput(
                        f"{path.name} line {first}: a quote opens and does not close on its line",
                        fix="close it, or double the quotes inside a value",
                    )
                if len(cells) == len(header):
                    ids.append(cells[position])
                elif cells and cells != [""]:  # else an empty line
                    raise InvalidInput(
                        f"{path.name} line {line} has {len(cells)} columns, its header {len(header)}",
                        fix="put values that hold the separator in quotes",
                    )
                if len(ids) >= _IDS_PER_PART:
                    parts.append(pa.array(ids, pa.string()))
                    ids = []
        except csv.Error:
            raise InvalidInput(
                f"{path.name} line {line + 1}: a quote opens and does not close, or stands inside a value",
                fix="close it, or double the quotes inside a value",
            ) from None
    return pa.chunked_array([*parts, pa.array(ids, pa.string())])


def _separator(path: Path) -> tuple[str, int]:
    """Return the cells' separator, and the number of lines before the header.

    That is one `sep=;`, which spreadsheets write, or none.
    """
    with path.open(encoding="utf-8-sig") as file:
        first, second = file.readline(_HEADER_CHARS).strip("\r\n"), file.readline(_HEADER_CHARS)
    declared = re.fullmatch(r'"?sep=(.)"?', first, re.IGNORECASE)
    header = second if declared else first
    for separator in [declared[1]] if declared else [",", ";", "\t", "|"]:
        if COLUMN in (cell.strip(' \r\n\t"').lower() for cell in header.split(separator)):
            return separator, 1 if declared else 0
    if not header.strip():
        raise InvalidInput(
            f"{path.name} is empty", fix=f"write {COLUMN} on its first line, and one id on each after it"
        )
    raise InvalidInput(
        f"{path.name}: the first line names no column {COLUMN!r}", fix=f"name the column of ids {COLUMN}"
    )


def put_list(lake: Lake, name: str, path: Path, *, force: bool = False) -> Commit:
    """Make (or replace) the list `name` from a file of user ids, as `put_ids` does.

    Raises:
        InvalidInput: the name, or the file, cannot be used.
        NotFound: there is no user index yet.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidInput(f"list name {name!r} must be lower-case letters, digits and _")
    return put_ids(lake, name, read_ids(path), path.name, force=force)


def put_ids(
    lake: Lake,
    name: str,
    ids: pa.ChunkedArray,
    origin: str,
    *,
    force: bool = False,
    meta: Mapping[str, Any] | None = None,
) -> Commit:
    """Make (or replace) the list `name` from user ids.

    Args:
        origin: where they come from, for messages.
        force: take what names nobody, or mostly people whom the index does not know. That is most often a
            mistake, and as an exclusion list it would exclude nobody.

    Raises:
        InvalidInput: the name, or the ids, cannot be used.
        NotFound: there is no user index yet.
    """
    head = index_head(lake)
    if head is None:
        raise NotFound("there is no user index yet", fix="run index_users first")
    # Exports write a word where there is no id.
    ids = pc.if_else(pc.is_in(ids, pa.array(MISSING_IDS, pa.string())), None, ids)
    given = ids.drop_null()
    wanted = pc.unique(given)
    index = lake.read(head, ["user_id", "ordinal"])
    matched = index["ordinal"].filter(pc.is_in(index["user_id"], wanted))
    # As an exclusion list, such a file would let everybody through.
    if not force and len(matched) < MIN_KNOWN * max(len(wanted), 1):
        problem = (
            f"{len(wanted) - len(matched):,} of {len(wanted):,} ids are unknown"
            if wanted
            else "it names nobody"
        )
        raise InvalidInput(
            f"{origin}: {problem}; list {name} stays as it is",
            fix="compare the ids with those of user_profiles, or give --force",
        )
    ordinals = np.sort(matched.to_numpy().astype(np.uint32))
    rejects = {
        "null_user_id": ids.null_count,
        "duplicate": len(given) - len(wanted),
        "unknown_user": len(wanted) - len(ordinals),
    }
    return put_ordinals(lake, name, ordinals, head, inputs=[head], meta=meta, rejects=rejects)


def put_ordinals(
    lake: Lake,
    name: str,
    ordinals: npt.NDArray[np.uint32],
    index: Commit,
    *,
    inputs: Sequence[Commit],
    meta: Mapping[str, Any] | None = None,
    rejects: Mapping[str, int] | None = None,
) -> Commit:
    """Make (or replace) the list `name` from ascending ordinals of an index."""
    if not re.fullmatch(NAME, name):
        raise InvalidInput(f"list name {name!r} must be lower-case letters, digits and _")
    bits = int(index.meta["shard_bits"])
    shards = np.unique(ordinals >> bits)
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
        # A list of nobody is a commit without files: an empty list is known, a missing one is not.
        if table.num_rows:
            attempt.write(table, "members.parquet", shards=(int(shards[0]), int(shards[-1])))
        return attempt.publish(
            inputs=inputs,
            meta={"n_users": len(ordinals), **(meta or {})},
            rejects={reason: n for reason, n in (rejects or {}).items() if n},
        )


def user_ids(lake: Lake, index: Commit, shards: range, members: BitMap) -> pa.Array:
    """Return the user ids of members in some shards, in ordinal order.

    `index` is the user_index commit the bitmaps were made from.
    """
    rows = lake.read(index, ["user_id", "ordinal"], where=holds_any(shards)).combine_chunks()
    mine = rows.filter(pc.is_in(rows["ordinal"], pa.array(ordinals_of(members), pa.uint32()))).sort_by(
        "ordinal"
    )
    column = mine["user_id"]
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())

"""Samples of rejected rows, for the person who has to mend the source.

File, row, reason and the values the mapping read. Writes HOME/rejects/<mapping>-<ds>.jsonl, for its owner
only. Values that make a personal column (ids, addresses), that hold one of the row's, or that look like an
address wherever they stand, are keyed hashes: equal values look equal, and nobody reads them back without
the key in HOME/rejects/.key, which never leaves the machine.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers and names of our own.

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import duckdb

from angelia.errors import without_addresses
from angelia.importing.csv_files import BrokenLine
from angelia.importing.inputs import quote
from angelia.importing.layers import FILE, ROW
from angelia.importing.staged import BROKEN_LINE, Staged

PER_REASON = 5


def write_samples(
    connection: duckdb.DuckDBPyConnection,
    staged: Sequence[Staged],
    folder: Path,
    name: str,
    broken_lines: Sequence[BrokenLine] = (),
    broken_reason: str = BROKEN_LINE,
) -> Path | None:
    """Write up to five rows per output and reason; return the file, if any.

    Of each file and kind of broken line the numbers are written: what stands there belongs to no column.
    None where nothing was rejected.
    """
    if not any(item.rejected for item in staged):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(folder / ".key")
    lines = [
        json.dumps(sample, ensure_ascii=False, sort_keys=True)
        for item in staged
        if item.rejected
        for sample in _samples(connection, item, key)
    ]
    for broken in broken_lines:
        sample = {"reason": broken_reason, "file": broken.file, "line": broken.line, "problem": broken.kind}
        lines.append(json.dumps(sample, ensure_ascii=False, sort_keys=True))
    path = folder / f"{name}.jsonl"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return path


def _samples(connection: duckdb.DuckDBPyConnection, item: Staged, key: bytes) -> list[dict[str, object]]:
    if not item.base:
        return []
    columns = ", ".join(
        f"CAST(base.{short} AS VARCHAR) AS {quote(name)}" for name, short, _ in item.raw_columns
    )
    query = (
        f"WITH picked AS (SELECT {FILE} AS file, {ROW} AS row, __rejected AS reason FROM {item.table} "
        f"WHERE __filtered IS NULL AND __rejected IS NOT NULL "
        f"QUALIFY row_number() OVER (PARTITION BY __rejected ORDER BY {FILE}, {ROW}) <= {PER_REASON}) "
        f"SELECT picked.file, picked.row, picked.reason, {columns} FROM picked JOIN ({item.base}) "
        f"AS base ON base.{FILE} = picked.file "
        f"AND base.{ROW} = picked.row ORDER BY picked.reason, picked.file, picked.row"
    )
    is_personal = [personal for _, _, personal in item.raw_columns]
    samples = []
    for row in connection.sql(query).fetchall():
        cells = row[3:]
        # A free column may repeat what a personal one holds, so a row's own values are hidden there, too.
        own = [cell for cell, personal in zip(cells, is_personal, strict=True) if personal and cell]
        values = {
            name: _hidden(cell, key) if personal or _may_be_personal(cell, own) else cell
            for (name, _, personal), cell in zip(item.raw_columns, cells, strict=True)
        }
        samples.append(
            {
                "dataset": item.output.dataset,
                "reason": row[2],
                "file": row[0],
                "row": row[1],
                "values": values,
            }
        )
    return samples


def _may_be_personal(cell: str | None, own: Sequence[str]) -> bool:
    """Return whether a cell of another column shows the person: a column may have slipped."""
    return cell is not None and (
        without_addresses(cell) != cell or any(len(value) > 3 and value in cell for value in own)
    )


def _hidden(value: str | None, key: bytes) -> str | None:
    if value is None:
        return None
    return "hash:" + hashlib.blake2b(value.encode(), key=key, digest_size=8).hexdigest()


def _key(path: Path) -> bytes:
    """Return the folder's key, made once and readable by its owner only."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return bytes.fromhex(path.read_text("utf-8"))

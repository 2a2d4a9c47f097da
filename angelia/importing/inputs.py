"""Open the files of a mapping in DuckDB.

One relation per input, every row with its file and row number. Reads CSV (`csv_files`) and Parquet from
local disk. CSV is read as text: a mapping, not a guess, decides types.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from angelia.errors import InvalidInput
from angelia.importing.csv_files import BrokenLine, load
from angelia.importing.layers import FILE, ROW
from angelia.importing.mapping import Input, Mapping
from angelia.importing.staged import BROKEN_LINE

ZONED = "TIMESTAMP WITH TIME ZONE"
# Types of the same meaning: nanoseconds are cut to the lake's microseconds.
_PLAIN_MOMENTS = {
    "TIMESTAMPTZ_NS": "TIMESTAMPTZ",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
}


@dataclass(frozen=True)
class OpenedInput:
    """One input: its relation, columns and types, and what could not be read."""

    relation: str
    files: tuple[Path, ...]
    types: dict[str, str]
    n_broken_lines: int
    broken_lines: tuple[BrokenLine, ...] = ()  # some of them
    broken_reason: str = BROKEN_LINE


def quote(name: str) -> str:
    """Return an SQL identifier, whatever characters the name holds."""
    return '"' + name.replace('"', '""') + '"'


def match_files(mapping: Mapping, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the files of each input, in name order.

    Raises:
        InvalidInput: a file is missing or belongs to no input, or an input has no file.
    """
    matched: dict[str, list[Path]] = {name: [] for name in mapping.inputs}
    names = [path.name for path in files]
    for path in sorted(files, key=lambda path: (path.name, str(path))):
        if not path.is_file():
            raise InvalidInput(f"{path.name} is not a file")
        if names.count(path.name) > 1:
            raise InvalidInput(
                f"two files are named {path.name}", fix="rename one: rejects and lineage name files"
            )
        if any(character in str(path) for character in "*?[]"):
            raise InvalidInput(
                f"the path of {path.name} holds one of * ? [ ]",
                fix="rename it: these are pattern characters to the reader",
            )
        owners = [
            name
            for name, declared in mapping.inputs.items()
            if any(fnmatch.fnmatchcase(name, declared.match) for name in (path.name, _lower_ending(path)))
        ]
        # Left alone, a file with a typing error in its name would silently not be imported.
        if not owners:
            raise InvalidInput(
                f"{path.name} belongs to no input of {mapping.name}", fix=f"patterns: {_patterns(mapping)}"
            )
        for owner in owners:
            matched[owner].append(path)
    for name, paths in matched.items():
        if not paths:
            raise InvalidInput(
                f"no file for input {name!r}", fix=f"give one named like {mapping.inputs[name].match}"
            )
    return matched


def _lower_ending(path: Path) -> str:
    """Return a file's name as a pattern would have it: PEOPLE.CSV fits PEOPLE*.csv."""
    return path.stem + path.suffix.lower()


def _patterns(mapping: Mapping) -> str:
    return ", ".join(declared.match for declared in mapping.inputs.values())


def sha256(path: Path) -> str:
    """Return the hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_input(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    declared: Input,
    files: Sequence[Path],
    folder: Path,
) -> OpenedInput:
    """Make the relation `input_<number>` with all columns, `__file` and `__row` (from 1).

    `folder` takes copies of files that must be converted.

    Raises:
        InvalidInput: a file is neither CSV nor Parquet, is damaged, or its columns differ from the first
            file's.
    """
    relation = f"input_{number}"
    n_broken, broken = 0, list[BrokenLine]()
    columns: dict[str, str] | None = None
    parts = []
    for position, path in enumerate(files):
        part = f"{relation}_{position}"
        if path.suffix.lower() == ".parquet":
            _parquet(connection, part, path)
        elif path.suffix.lower() in (".csv", ".tsv", ".txt", ".gz"):
            n, lines = load(connection, part, declared, path, folder)
            n_broken, broken = n_broken + n, [*broken, *lines]
        else:
            raise InvalidInput(f"{path.name} is neither .csv nor .parquet")
        here = {
            name: kind
            for name, kind, *_ in connection.sql(f"DESCRIBE {part}").fetchall()
            if name not in (FILE, ROW)
        }
        if columns is not None and list(here) != list(columns):
            raise InvalidInput(_other_columns(path, list(here), files[0], list(columns)))
        for at, (name, kind) in enumerate(here.items(), 1):
            # A union would read the moments that carry no zone as UTC.
            if (kind == ZONED) != ((columns or here)[name] == ZONED):
                words = ("carries a zone", "none") if kind == ZONED else ("carries no zone", "one")
                raise InvalidInput(
                    f"{path.name}: column {at} {words[0]}, in {files[0].name} {words[1]}",
                    fix="import them as two inputs",
                )
        columns = columns or here
        parts.append(part)
    union = " UNION ALL ".join(f"SELECT * FROM {part}" for part in parts)  # noqa: S608
    connection.execute(f"CREATE VIEW {relation} AS {union}")
    types = connection.sql(f"DESCRIBE {relation}").fetchall()  # a union may have widened a type
    return OpenedInput(
        relation,
        tuple(files),
        {name: kind for name, kind, *_ in types if name not in (FILE, ROW)},
        n_broken,
        tuple(broken),
    )


def _other_columns(path: Path, here: list[str], first: Path, columns: list[str]) -> str:
    """Return how the columns of two files differ, by number: the names may be addresses."""
    if len(here) != len(columns):
        return f"{path.name} has {len(here)} columns, {first.name} has {len(columns)}"
    differing = [str(at) for at, (a, b) in enumerate(zip(here, columns, strict=True), 1) if a != b]
    return (
        f"{path.name} has other columns than {first.name}: number {', '.join(differing[:5])} of {len(here)}"
    )


def _literal(text: str) -> str:
    # A view cannot hold a bound parameter; this is the only literal made from a name, and it doubles its
    # quotes.
    return "'" + text.replace("'", "''") + "'"


def _parquet(connection: duckdb.DuckDBPyConnection, part: str, path: Path) -> None:
    """Make a view of a Parquet file.

    Moments that carry a zone, or are UTC by their kind, have one type in it.
    """
    source = f"read_parquet({_literal(str(path))}, file_row_number = true, hive_partitioning = false)"
    try:
        types = {
            str(name): str(kind)
            for name, kind, *_ in connection.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
        }
        legacy = connection.sql(
            "SELECT name FROM parquet_schema($path) WHERE type = 'INT96'", params={"path": str(path)}
        ).fetchall()
        changed = [
            f"CAST({quote(name)} AS {_PLAIN_MOMENTS[kind]}) AS {quote(name)}"
            for name, kind in types.items()
            if kind in _PLAIN_MOMENTS
        ]
        # INT96 carries no zone in its schema; by all its writers it is UTC.
        changed += [
            f"timezone('UTC', {quote(name)}) AS {quote(name)}"
            for (name,) in legacy
            if types.get(name) == "TIMESTAMP"
        ]
        replaced = f"REPLACE ({', '.join(changed)}) " if changed else ""
        connection.execute(
            f"CREATE VIEW {part} AS "  # noqa: S608
            f"SELECT * EXCLUDE (file_row_number) {replaced}, {_literal(path.name)} AS {FILE}, "
            f"file_row_number + 1 AS {ROW} FROM {source}"
        )
    except duckdb.Error:
        raise InvalidInput(f"{path.name} cannot be read as Parquet") from None

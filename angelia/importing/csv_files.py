"""CSV files into the connection as text, or the reason why not.

Reads files of local disk, whatever their encoding, line ends and quotes; writes a converted copy into the
given folder where the engine needs one. A line that is no row is counted and remembered by its number; a
quote that does not close is refused, since the engine would lose all lines up to the next quote and count
one.
"""
# ruff: noqa: S608 - statements are made of names of our own; every value is a parameter.

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from angelia.contracts.duckdb import identifier
from angelia.errors import InvalidInput
from angelia.importing.layers import FILE, ROW
from angelia.importing.mapping import Input
from angelia.text_files import chunks, open_binary, require_utf8

PER_KIND = 5  # broken lines that are remembered of each file and kind
_CHARS = 1 << 20
_LINE_BYTES = 2_000_000  # the engine's own bound; a larger one takes sixteen times as much memory
csv.field_size_limit(sys.maxsize)  # a long text is no unclosed quote
_UNCLOSED = "UNQUOTED VALUE"


@dataclass(frozen=True)
class BrokenLine:
    """A line that is no row: where it stands, and the engine's word for what is wrong with it."""

    file: str
    line: int
    kind: str


def load(
    connection: duckdb.DuckDBPyConnection, part: str, declared: Input, path: Path, folder: Path
) -> tuple[int, list[BrokenLine]]:
    """Make the table `part` of a CSV file, and return how many lines were no rows.

    All columns are text; some of the lines are returned, too.

    Raises:
        InvalidInput: it is empty, in another encoding, or holds a quote that does not close.
    """
    source = path if declared.is_utf8 else _converted(path, declared, folder)
    # The reader takes mixed line ends for part of a value, so such a file is written anew first.
    if declared.is_utf8:
        require_utf8(path, "save it as UTF-8, or give its input `encoding: {encoding}`")
        if _has_mixed_ends(path):
            source = _converted(path, declared, folder)
    if not next(chunks(source), b"").removeprefix(codecs.BOM_UTF8).strip():
        raise InvalidInput(f"{path.name} is empty", fix="a header line is expected")
    delimiter, skip = _separator(source, declared)
    try:
        connection.execute(
            f"CREATE TEMP TABLE {part} AS SELECT *, $name AS {FILE}, row_number() OVER () AS {ROW} "
            "FROM read_csv($path, all_varchar = true, "
            "header = true, delim = $delimiter, quote = $quote, escape = $escape, nullstr = $nulls, "
            "strict_mode = true, skip = $skip, "
            f"store_rejects = true, rejects_table = '{part}_errors', rejects_scan = "
            f"'{part}_scans', rejects_limit = 0, hive_partitioning = false)",
            {
                "name": path.name,
                "path": str(source),
                "delimiter": delimiter,
                "quote": declared.quote,
                "escape": declared.escape if declared.quote else "",
                "nulls": declared.null_values,
                "skip": skip,
            },
        )
        errors = connection.sql(
            f"SELECT line, min(CAST(error_type AS VARCHAR)) FROM {part}_errors GROUP BY line ORDER BY line"
        ).fetchall()
        _name_apart(connection, part, source, declared, delimiter, skip)
    except (duckdb.Error, csv.Error):
        raise _cause(path, source, declared, delimiter, skip) from None
    # A quote that does not close swallows all lines below it: counted as one, it would hide them.
    for line, kind in errors:
        if kind == _UNCLOSED:
            raise _unclosed(path, line)
    remembered: dict[str, list[BrokenLine]] = {}
    for line, kind in errors:
        # Some of each kind: a thousand short lines must not hide the only one in another encoding.
        lines = remembered.setdefault(kind, [])
        if len(lines) < PER_KIND:
            lines.append(BrokenLine(path.name, line, kind.lower()))
    return len(errors), [line for lines in remembered.values() for line in lines]


def _name_apart(
    connection: duckdb.DuckDBPyConnection, part: str, source: Path, declared: Input, delimiter: str, skip: int
) -> None:
    """Call each column of a name that the header has twice `name (column 3)`.

    The engine renames the second one alone, so a mapping would read the first without a word: of an export
    that joins orders and customers, the order's id as the customer's.
    """
    quoting = {"quotechar": declared.quote} if declared.quote else {"quoting": csv.QUOTE_NONE}
    with _text(source, "utf-8", "") as text:
        lines = csv.reader(text, delimiter=delimiter, **quoting)
        header = [name.strip() for name in next(itertools.islice(lines, skip, None), [])]
    described = connection.sql(f"DESCRIBE {part}").fetchall()
    columns = [name for name, *_ in described if name not in (FILE, ROW)]
    counts = Counter(name.casefold() for name in header)
    for at, (name, column) in enumerate(zip(header, columns, strict=False), 1):
        if name and counts[name.casefold()] > 1 and len(header) == len(columns):
            apart = f"{name} (column {at})"
            connection.execute(f"ALTER TABLE {part} RENAME {identifier(column)} TO {identifier(apart)}")


@contextmanager
def _text(path: Path, encoding: str, newline: str | None) -> Iterator[io.TextIOWrapper]:
    # A mark at the beginning of UTF-8 is no letter of the first name.
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    with open_binary(path) as binary, io.TextIOWrapper(binary, encoding=name, newline=newline) as text:
        yield text


def _converted(path: Path, declared: Input, folder: Path) -> Path:
    """Write a copy in UTF-8 whose lines all end alike, and return its path."""
    target, n_lines, mark = folder / f"{path.name}.csv", 1, "\ufeff"
    for _ in chunks(path):  # says of a damaged file what is wrong
        break
    try:
        with (
            _text(path, declared.codec, None) as source,
            target.open("w", encoding="utf-8", newline="\n") as file,
        ):
            while text := source.read(_CHARS):
                file.write(text.removeprefix(mark))
                n_lines, mark = n_lines + text.count("\n"), ""
    except (UnicodeError, EOFError, OSError):
        raise InvalidInput(
            f"{path.name} is not {declared.encoding} (after line {n_lines:,})",
            fix="give its input another `encoding:`",
        ) from None
    return target


def _has_mixed_ends(path: Path) -> bool:
    both = line_feeds = returns = 0
    last = b""
    for chunk in chunks(path):
        both += (last + chunk).count(b"\r\n")
        line_feeds += chunk.count(b"\n")
        returns += chunk.count(b"\r")
        last = chunk[-1:] if chunk.endswith(b"\r") else b""
    return len([n for n in (both, line_feeds - both, returns - both) if n]) > 1


def _separator(source: Path, declared: Input) -> tuple[str, int]:
    """Return the separator, and how many lines stand before the header.

    A spreadsheet may write `sep=;`.
    """
    with _text(source, "utf-8", None) as text:
        first = text.readline(16).strip()
    line = re.fullmatch(r'"?sep=(.)"?', first, re.IGNORECASE)
    return (line[1], 1) if line else (declared.delimiter, 0)


def _unclosed(path: Path, line: int) -> InvalidInput:
    return InvalidInput(
        f"{path.name} line {line}: a quote opens and does not close, or stands inside a value",
        fix="mend the line, or tell the input its `quote:` and `escape:`",
    )


def _cause(path: Path, source: Path, declared: Input, delimiter: str, skip: int) -> InvalidInput:
    """Return why a file cannot be read: its first line that is no CSV."""
    if len(delimiter) == 1 and declared.quote:
        doubled = declared.escape == declared.quote
        last = 0
        with _text(source, "utf-8", "") as text:
            rows = csv.reader(
                text,
                delimiter=delimiter,
                quotechar=declared.quote,
                doublequote=doubled,
                escapechar=None if doubled else declared.escape,
                strict=True,
            )
            try:
                for row in rows:
                    if sum(map(len, row)) > _LINE_BYTES - len(row):
                        return InvalidInput(
                            f"{path.name} line {last + 1} is longer than {_LINE_BYTES:,} bytes",
                            fix="shorten it, or leave that column out of the file",
                        )
                    last = rows.line_num
            except csv.Error:
                return _unclosed(path, last + 1)
    return InvalidInput(
        f"{path.name} cannot be read as CSV", fix="a header line and the mapping's delimiter are expected"
    )

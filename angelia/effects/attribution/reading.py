"""Add up the marts of a span of nights by any dimension, and write the sums as a file.

Reads `effects_mart`; writes a CSV or Parquet file where asked. Surprise: pairs are people by campaign, so
`n_pairs` of several campaigns counts a person several times; credited figures count everything once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from angelia.contracts import dataset
from angelia.contracts.duckdb import identifier
from angelia.drawing.files import require_writable
from angelia.effects.sources import view
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Lake

MART = dataset("effects_mart")
DIMENSIONS = MART.key
FIGURES = tuple(name for name in MART.names if name not in DIMENSIONS)
_FORMULA = r"^[=+\-@\t\r]"  # what a spreadsheet would run


@dataclass(frozen=True)
class MartFigures:
    """Sums of the marts by some dimensions, and how complete the nights are."""

    table: pa.Table
    complete: Mapping[str, Mapping[str, Any]]  # night -> its commit's statement
    missing: tuple[str, ...]  # planned nights of the span without a mart
    unplanned: tuple[str, ...]  # days of the span of which no night was planned


def read_mart(
    connection: duckdb.DuckDBPyConnection, lake: Lake, days: Sequence[str], by: Sequence[str] = ("night",)
) -> MartFigures:
    """Return every figure of the span by these dimensions, in their order.

    Raises:
        InvalidInput: a name is not a dimension of the mart, or stands twice.
        NotFound: no night of the span has a mart.
    """
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown or len(set(by)) != len(by):
        raise InvalidInput(
            "--by names a dimension twice" if not unknown else f"--by {unknown[0]} is not a dimension",
            fix=f"choose from {', '.join(DIMENSIONS)}",
        )
    commits = {day: commit for day in days if (commit := lake.head("effects_mart", ds=day)) is not None}
    if not commits:
        raise NotFound(
            f"no night from {days[0]} to {days[-1]} has a mart",
            fix=f"make them: angelia effects mart --from {days[0]} --to {days[-1]}",
        )
    connection.execute("SET TimeZone = 'UTC'")
    view(connection, lake, "effects_mart", list(commits.values()))
    names = ", ".join(map(identifier, by))
    # DuckDB sums whole numbers to HUGEINT, which Arrow hands on as decimals.
    sums = ", ".join(
        f"CAST(sum({identifier(name)}) AS {'DOUBLE' if name.endswith('_value') else 'BIGINT'}) "
        f"AS {identifier(name)}"
        for name in FIGURES
    )
    grouped = f"GROUP BY {names} ORDER BY {names}" if by else ""
    sql = f"SELECT {names + ', ' if by else ''}{sums} FROM effects_mart {grouped}"  # noqa: S608 - contract names
    without = [day for day in days if day not in commits]
    planned = {day for day in without if lake.head("decisions", ds=day) is not None}
    return MartFigures(
        connection.sql(sql).to_arrow_table(),
        {day: commit.meta.get("complete", {}) for day, commit in commits.items()},
        tuple(day for day in without if day in planned),
        tuple(day for day in without if day not in planned),
    )


def write_figures(table: pa.Table, path: Path) -> None:
    """Write the figures as the file's name says: .csv, or .parquet.

    Raises:
        InvalidInput: another ending, or the file cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise InvalidInput(f"{path} is neither .csv nor .parquet", fix="name the file figures.csv")
    require_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix == ".csv":
            pa_csv.write_csv(_for_spreadsheets(table), temporary)
        else:
            pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from None


def _for_spreadsheets(table: pa.Table) -> pa.Table:
    """Return the table with instants as ISO text, and no text that a spreadsheet would run."""
    for i, column in enumerate(table.schema):
        values = table.column(i)
        if pa.types.is_timestamp(column.type):
            values = pc.strftime(values, "%Y-%m-%dT%H:%M:%SZ")
            values = pc.replace_substring_regex(values, r"\.0+Z$", "Z")
        elif pa.types.is_string(column.type):
            harmful = pc.match_substring_regex(values, _FORMULA)
            values = pc.if_else(harmful, pc.binary_join_element_wise("'", values, ""), values)
        table = table.set_column(i, column.name, values)
    return table

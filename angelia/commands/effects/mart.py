"""`angelia effects mart, figures, export`: make the marts, add them up, write a file.

`mart` reads decisions, manifests, the ledger, receipts, events and features of the nights, and writes
effects_mart; `figures` and `export` read that, and `export` writes the file that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer

from angelia.commands.report import Conversion, FirstDay, LastDay, require_conversion
from angelia.config import load_settings
from angelia.contracts.sending import FOLD_DAYS
from angelia.days import parse_day
from angelia.effects.attribution.mart import refresh
from angelia.effects.attribution.reading import DIMENSIONS, read_mart, write_figures
from angelia.effects.attribution.words import completeness_line, gaps_line
from angelia.errors import InvalidInput
from angelia.lake.configured import open_lake
from angelia.lake.views import scratch_connection
from angelia.output import JsonFlag, days_between, emit

MEMORY = "3GB"  # of DuckDB; what does not fit goes to its temporary folder
By = Annotated[
    str,
    typer.Option("--by", help=f"Dimensions, separated by commas: {', '.join(DIMENSIONS)}."),
]


def make(
    last: LastDay,
    first: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="YYYY-MM-DD", help=f"First night; default: {FOLD_DAYS} nights up to the last."
        ),
    ] = None,
    conversion: Conversion = "purchase",
    as_json: JsonFlag = False,
) -> None:
    """Make the marts of these nights; make them again where something came in late.

    A night whose inputs have not changed since its newest mart is left alone.
    """
    require_conversion(conversion)
    days = days_between(first or first_folded(last), last)
    settings = load_settings()
    with connected() as connection:
        nights = refresh(
            connection,
            open_lake(settings=settings),
            days,
            lead_hours=settings.lead_hours,
            conversion=conversion,
        )
    result = {
        "nights": [
            {
                "ds": night.ds,
                "mart": night.commit.ref,
                "is_new": night.is_new,
                "cells": night.commit.rows,
                "left_out": dict(night.commit.rejects),
                "warnings": list(night.warnings),
                **night.commit.meta["complete"],
            }
            for night in nights
        ]
    }
    lines = [
        f"{night.ds}  {'made' if night.is_new else 'up to date'}  {night.commit.rows:,} cells  "
        + completeness_line(night.commit.meta["complete"])
        for night in nights
    ]
    emit(result, lines, as_json)


def figures(first: FirstDay, last: LastDay, by: By = "night", as_json: JsonFlag = False) -> None:
    """Show every figure by dimensions; by night it is a time series."""
    sums = _figures(first, last, by)
    rows = sums.table.to_pylist()
    result = {
        "by": _names(by),
        "rows": rows,
        "complete": {night: dict(says) for night, says in sums.complete.items()},
        "nights_without_mart": list(sums.missing),
        "days_without_plan": list(sums.unplanned),
    }
    names = _names(by)
    lines = [
        "  ".join(str(row[name]) if row[name] is not None else "-" for name in names)
        + f"  sent {row['n_sent']:,}  opened {row['n_opened']:,}  influenced {row['n_influenced']:,}  "
        f"conversions {row['n_conversions']:,}  value {row['conversion_value']:,.2f}  "
        f"unsubscribed {row['n_unsubscribed']:,}  complained {row['n_complained']:,}"
        for row in rows
    ]
    growing = [night for night, says in sums.complete.items() if not says.get("is_final")]
    if growing:
        lines.append(f"still growing: {len(growing)} night{'s' * (len(growing) > 1)} from {min(growing)} on")
    if gaps := gaps_line(sums.missing, sums.unplanned):
        lines.append(f"no figures: {gaps}")
    emit(result, lines, as_json)


def export(
    first: FirstDay,
    last: LastDay,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .parquet.")],
    by: By = ",".join(DIMENSIONS),
    as_json: JsonFlag = False,
) -> None:
    """Write every figure by dimensions as CSV or Parquet."""
    sums = _figures(first, last, by)
    write_figures(sums.table, out)
    result: dict[str, Any] = {
        "file": str(out),
        "rows": sums.table.num_rows,
        "columns": sums.table.column_names,
        "nights": sorted(sums.complete),
        "nights_without_mart": list(sums.missing),
        "days_without_plan": list(sums.unplanned),
    }
    nights = f"{len(sums.complete)} night{'s' * (len(sums.complete) > 1)}"  # none is an error above
    lines = [f"{out}  {sums.table.num_rows:,} rows of {nights}"]
    emit(result, lines, as_json)


def first_folded(last: str) -> str:
    """Return the first night that is still made again when `last` is the newest."""
    return (
        date.fromisoformat(parse_day("--to", last).isoformat()) - timedelta(days=FOLD_DAYS - 1)
    ).isoformat()


def _names(by: str) -> list[str]:
    names = [name.strip() for name in by.split(",") if name.strip()]
    if not names:
        raise InvalidInput("--by names no dimension", fix=f"choose from {', '.join(DIMENSIONS)}")
    return names


def _figures(first: str, last: str, by: str) -> Any:
    with connected() as connection:
        return read_mart(connection, open_lake(), days_between(first, last), _names(by))


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection whose memory is bounded; its temporary files go when it closes."""
    settings = {"memory_limit": MEMORY, "preserve_insertion_order": "false"}
    with scratch_connection("effects", **settings) as connection:
        yield connection

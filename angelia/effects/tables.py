"""Run the report's tables: `sql/<table>/query.sql`, then `sql/<table>/checks.sql` on it.

The query's result becomes a table of that name. A check is a query that returns the wrong rows; comments
above it give its name, its severity (`critical` ends the report with exit code 2, `warning` is shown) and its
message. Values reach the SQL as parameters: $ds, $plan_start, $plan_end, $window_end, $conversion.
"""
# ruff: noqa: S608 - the statements come from files of the repository; values are parameters.

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

import angelia
from angelia.effects.sources import NightScope
from angelia.errors import AngeliaError, GateClosed, InvalidInput, unquoted

SQL = Path(angelia.__file__).parent.parent / "sql"
# A table may read the views of the lake and the tables before it.
ORDER = (
    "campaigns",
    "considered",
    "opened",
    "funnel",
    "sends_by_hour",
    "not_sent_reasons",
    "audiences",
    "channel_health",
    "reach",
    "holdout_lift",
    "experiments",
    "campaign_effects",
    "credited",
    "intake_usage",
)
INNER = ("considered", "opened")  # a row per person or message: read by other tables, never shown
_CHECK = re.compile(
    r"^-- check: (?P<name>[a-z_]+)\n-- severity: (?P<severity>critical|warning)\n-- (?P<says>.+)\n",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Check:
    """One check of a table, and what it found."""

    table: str
    name: str
    severity: str
    says: str
    n_rows: int
    example: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it found anything wrong."""
        return self.n_rows > 0


@dataclass(frozen=True)
class Table:
    """A table's rows, in its own order."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]


def named(sql: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that a statement names."""
    return {name: value for name, value in values.items() if re.search(rf"\${name}\b", sql)}


def parameters(sql: str, night: NightScope, conversion: str) -> dict[str, Any]:
    """Return the parameters that a statement names."""
    every = {
        "ds": night.ds,
        "plan_start": night.plan_start,
        "plan_end": night.plan_end,
        "window_end": night.window_end,
        "conversion": conversion,
    }
    return named(sql, every)


def run_tables(
    connection: duckdb.DuckDBPyConnection, night: NightScope, conversion: str
) -> tuple[dict[str, Table], list[Check]]:
    """Run every table's query and checks, in order.

    Raises:
        AngeliaError: a query cannot be run on these commits (their schema is another).
    """
    tables, checks = {}, []
    for name in ORDER:
        query = (SQL / name / "query.sql").read_text("utf-8")
        try:
            connection.execute(f"CREATE TEMP TABLE {name} AS {query}", parameters(query, night, conversion))
            if name not in INNER:
                cursor = connection.execute(f"SELECT * FROM {name}")  # a table keeps the order it was made in
                columns = tuple(column[0] for column in cursor.description or ())
                tables[name] = Table(
                    name, columns, tuple(dict(zip(columns, row, strict=True)) for row in cursor.fetchall())
                )
            checks += [
                _run(connection, check, night, conversion)
                for check in parse_checks(name, (SQL / name / "checks.sql").read_text("utf-8"))
            ]
        except duckdb.Error as error:
            # What the engine quotes may be a value of a row.
            first = "" if isinstance(error, duckdb.DataError) else unquoted(str(error).splitlines()[0])
            raise AngeliaError(
                f"sql/{name} cannot be run: {first or 'a value could not be converted'}",
                fix="do the night's commits fit the contracts? `angelia lake verify`",
            ) from None
    return tables, checks


def make_table(
    connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, Any], *, add: bool = False
) -> None:
    """Make, or with `add` extend, the table of that name by its query."""
    query = (SQL / name / "query.sql").read_text("utf-8")
    verb = f"INSERT INTO {name} BY NAME" if add else f"CREATE OR REPLACE TEMP TABLE {name} AS"
    connection.execute(f"{verb} {query}", named(query, values))


def require_checks(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, Any]) -> list[str]:
    """Run a table's checks; return the warnings that failed.

    Raises:
        GateClosed: a critical check failed.
    """
    warnings = []
    for _, check, severity, says, statement in parse_checks(
        name, (SQL / name / "checks.sql").read_text("utf-8")
    ):
        wrong = connection.execute(statement, named(statement, values)).fetchall()
        if wrong and severity == "critical":
            raise GateClosed(f"critical check failed: {name}.{check}: {len(wrong)}", fix=f"it says: {says}")
        warnings += [f"{name}.{check}"] if wrong else []
    return warnings


def parse_checks(table: str, text: str) -> list[tuple[str, str, str, str, str]]:
    """Return (table, name, severity, says, statement) of each check in a file.

    Raises:
        InvalidInput: text that belongs to no check, which would silently not run.
    """
    heads = list(_CHECK.finditer(text))
    if not heads or text[: heads[0].start()].strip():
        raise InvalidInput(
            f"sql/{table}/checks.sql: each check begins with `-- check:`, `-- severity:` and a "
            f"line that says what holds"
        )
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return [
        (
            table,
            head["name"],
            head["severity"],
            head["says"],
            text[head.end() : end].strip().removesuffix(";"),
        )
        for head, end in zip(heads, ends, strict=True)
    ]


def _run(
    connection: duckdb.DuckDBPyConnection,
    check: tuple[str, str, str, str, str],
    night: NightScope,
    conversion: str,
) -> Check:
    table, name, severity, says, statement = check
    cursor = connection.execute(statement, parameters(statement, night, conversion))
    columns = [column[0] for column in cursor.description or ()]
    rows = cursor.fetchall()
    example = dict(zip(columns, rows[0], strict=True)) if rows else {}
    return Check(table, name, severity, says, len(rows), example)

"""Contract -> DuckDB: DDL, and one statement that counts the rows breaking each constraint.

Parameters of the statements: `$day_start` and `$day_end` (the UTC day ds, end exclusive) and `$timezones`
(the IANA names of this machine). Reads a relation of the given name; writes nothing. Surprise: DuckDB's RE2
refuses repetitions above 1,000, so such bounds become a check of the length; columns that are missing or of
another type are left out and their measures are NULL (no verdict).
"""
# ruff: noqa: S608 - the statements are made of quoted identifiers and literals of the contracts; values travel as parameters.

from __future__ import annotations

import functools
import re
import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from angelia.contracts.constraints import FROM_SCHEMA, Constraint, Kind, constraints, is_float
from angelia.contracts.core import TIMEZONE_RULE, Column, Dataset

_TYPES = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint32(): "UINTEGER",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}
_RE2_MOST = 1000
_LONG = re.compile(r"^\^(?P<one>\[(?:[^\]\\]|\\.)+\])\{(?P<low>\d+),(?P<high>\d+)\}\$$")


def identifier(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | int) -> str:
    """Return a SQL literal."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def sql_type(kind: pa.DataType) -> str:
    """Return the DuckDB type of an Arrow type."""
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{identifier(part.name)} {sql_type(part.type)}' for part in kind)})"
    return _TYPES[kind]


def ddl(contract: Dataset, table: str | None = None) -> str:
    """Return CREATE TABLE with types, NOT NULL and the value rules that hold for every row.

    Rules that tolerate some breaking rows are left out.
    """
    lines = []
    for column in contract.columns:
        parts = [identifier(column.name), sql_type(column.type)]
        if not column.nullable and not column.tolerated_pct:
            parts.append("NOT NULL")
        rules = [c for c in constraints(contract) if c.columns == (column.name,) and _in_ddl(c, column)]
        parts += [f"CHECK (NOT ({condition(contract, rule)}))" for rule in rules]
        lines.append("  " + " ".join(parts))
    return f"CREATE TABLE {identifier(table or contract.name)} (\n" + ",\n".join(lines) + "\n);\n"


def _in_ddl(constraint: Constraint, column: Column) -> bool:
    # CHECK takes no parameter, no look at other rows, and no lambda (DuckDB 2.0).
    if constraint.tolerated_pct or (constraint.kind is Kind.FINITE and pa.types.is_list(column.type)):
        return False
    return constraint.kind in (Kind.ALLOWED, Kind.RANGE, Kind.FINITE, Kind.LENGTH, Kind.PATTERN)


def condition(contract: Dataset, constraint: Constraint) -> str:
    """Return the SQL that is true for a row that breaks a constraint on one column.

    For other rows it is false or NULL.

    Raises:
        ValueError: the constraint is not about single rows (schema, key, number of rows).
    """
    column = contract[constraint.columns[0]] if len(constraint.columns) == 1 else None
    name = identifier(constraint.columns[0]) if constraint.columns else ""
    if column is None or constraint.kind in (*FROM_SCHEMA, Kind.UNIQUE, Kind.MIN_ROWS):
        raise ValueError(f"{contract.name} {constraint.name}: no condition on one row")
    match constraint.kind:
        case Kind.NOT_NULL | Kind.MAX_NULL:
            return f"{name} IS NULL"
        case Kind.ALLOWED:
            return f"{name} NOT IN ({', '.join(literal(value) for value in column.allowed or ())})"
        case Kind.RANGE:
            return " OR ".join(_outside(name, column))
        # A curve is whole or nothing: a null within it breaks the rule, too.
        case Kind.FINITE if pa.types.is_list(column.type):
            return f"len(list_filter({name}, lambda x: x IS NULL OR NOT isfinite(x))) > 0"
        case Kind.FINITE:
            return f"NOT isfinite({name})"
        case Kind.LENGTH:
            return f"len({name}) <> {column.length}"
        case Kind.PATTERN:
            return f"NOT {matches(name, column.pattern or '')}"
        case Kind.RULE if column.rule == TIMEZONE_RULE:
            return f"{name} NOT IN (SELECT unnest($timezones))"
        case Kind.NOT_FUTURE:
            return f"{name} >= $day_end"
        case Kind.NOT_LATE:
            return f"{name} < $day_start - INTERVAL {int(contract.late_days or 0)} DAY"
        case _:
            raise ValueError(f"{contract.name} {constraint.name}: contracts.duckdb has no condition for it")


def _outside(name: str, column: Column) -> list[str]:
    parts = [f"NOT isfinite({name})"] if is_float(column.type) else []
    if column.minimum is not None:
        parts.append(f"{name} < {column.minimum:.17g}")
    if column.maximum is not None:
        parts.append(f"{name} > {column.maximum:.17g}")
    return parts


def matches(expression: str, pattern: str) -> str:
    """Return the SQL for "the whole text matches this pattern".

    It answers like Python's `re.fullmatch`.

    Raises:
        ValueError: a repetition above 1,000 in a pattern that is more than one repeated character class.
    """
    long = _LONG.match(pattern)
    if long and int(long["high"]) > _RE2_MOST:
        return (
            f"(regexp_full_match({expression}, {literal(long['one'] + '*')}) AND length({expression}) "
            f"BETWEEN {long['low']} AND {long['high']})"
        )
    if any(int(most) > _RE2_MOST for most in re.findall(r"\{\d*,?(\d+)\}", pattern)):
        raise ValueError(f"RE2 cannot repeat more than {_RE2_MOST} times: {pattern}")
    return f"regexp_full_match({expression}, {literal(pattern)})"


def complete_key(contract: Dataset) -> str:
    """Return the SQL for "no not-null key column is null": only such rows can be duplicates."""
    return (
        " AND ".join(
            f"{identifier(name)} IS NOT NULL" for name in contract.key if not contract[name].nullable
        )
        or "TRUE"
    )


def usable(constraint: Constraint, columns: Collection[str]) -> bool:
    """Return whether a constraint can be counted with only these well-typed columns."""
    return all(name in columns for name in constraint.columns)


def measures_sql(contract: Dataset, relation: str, columns: Collection[str] | None = None) -> str:
    """Return the statement for `n_rows` and, per constraint, the number of breaking rows.

    Args:
        contract: the dataset.
        relation: name of the view or table to read.
        columns: those present with their type (default: all); measures on others are NULL.
    """
    given = contract.names if columns is None else columns
    keys = ", ".join(identifier(name) for name in contract.key)
    parts = ["count(*) AS n_rows"]
    for constraint in constraints(contract):
        if constraint.kind in FROM_SCHEMA or constraint.kind is Kind.MIN_ROWS:
            continue
        if not usable(constraint, given):
            value = "CAST(NULL AS BIGINT)"
        elif constraint.kind is Kind.UNIQUE:
            value = (
                f"(SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM "
                f"{identifier(relation)} "
                f"WHERE {complete_key(contract)} GROUP BY {keys} HAVING count(*) > 1))"
            )
        else:
            value = f"count(*) FILTER (WHERE {condition(contract, constraint)})"
        parts.append(f"{value} AS {identifier(constraint.name)}")
    return "SELECT\n  " + ",\n  ".join(parts) + f"\nFROM {identifier(relation)}"


def breaking_rows_sql(contract: Dataset, constraint: Constraint, relation: str) -> str:
    """Return the statement for the rows that break a row-level constraint.

    For keys: every row of a duplicated key.
    """
    if constraint.kind is Kind.UNIQUE:
        keys = ", ".join(identifier(name) for name in contract.key)
        return (
            f"SELECT * FROM {identifier(relation)} WHERE {complete_key(contract)} QUALIFY count(*) "
            f"OVER (PARTITION BY {keys}) > 1 ORDER BY {keys}"
        )
    return f"SELECT * FROM {identifier(relation)} WHERE {condition(contract, constraint)}"


@functools.cache
def timezones() -> tuple[str, ...]:
    """Return the IANA timezone names this machine knows, sorted."""
    return tuple(sorted(zoneinfo.available_timezones()))


def parameters(statement: str, ds: str) -> dict[str, Any]:
    """Return the parameters that a statement of this module names, for the day `ds`."""
    start = datetime.fromisoformat(ds).replace(tzinfo=UTC)
    every: dict[str, Any] = {
        "day_start": start,
        "day_end": start + timedelta(days=1),
        "timezones": list(timezones()),
    }
    return {name: value for name, value in every.items() if f"${name}" in statement}


@dataclass(frozen=True)
class Measures:
    """The number of rows, and how many break each constraint.

    None: the constraint's column is missing or of another type.
    """

    n_rows: int
    n_bad: Mapping[str, int | None]

    def bad_pct(self, name: str) -> float | None:
        """Return the percent of rows that break a constraint; None = not measured."""
        bad = self.n_bad[name]
        if bad is None:
            return None
        return 100.0 * bad / self.n_rows if self.n_rows else 0.0


def expected_types(connection: Any, contract: Dataset) -> dict[str, str]:
    """Return DuckDB's own spelling of each column's type."""
    columns = ", ".join(
        f"CAST(NULL AS {sql_type(column.type)}) AS {identifier(column.name)}" for column in contract.columns
    )
    return given_types(connection, f"SELECT {columns}")


def given_types(connection: Any, select: str) -> dict[str, str]:
    """Return column -> type of a SELECT."""
    relation = connection.sql(select)
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


def measure(
    connection: Any, contract: Dataset, parts: Sequence[tuple[str, int]], relation: str, ds: str
) -> Measures:
    """Count the rows that break each constraint.

    Args:
        connection: an open DuckDB connection.
        contract: the dataset.
        parts: (SELECT, rows) per file, so that a column only one file lacks is seen.
        relation: name of a view over all of them.
        ds: the day.
    """
    expected = expected_types(connection, contract)
    missing, mistyped = dict.fromkeys(expected, 0), dict.fromkeys(expected, 0)
    for select, rows in parts:
        given = given_types(connection, select)
        for name, kind in expected.items():
            missing[name] += rows if name not in given else 0
            mistyped[name] += rows if name in given and given[name] != kind else 0
    n_bad: dict[str, int | None] = {}
    # A missing or mistyped column would stop the one statement that measures all the others.
    statement = measures_sql(
        contract, relation, [name for name in expected if not missing[name] and not mistyped[name]]
    )
    if parts:
        cursor = connection.execute(statement, parameters(statement, ds))
        names = [entry[0] for entry in cursor.description[1:]]
        ((n_rows, *counts),) = cursor.fetchall()
        n_bad.update(zip(names, counts, strict=True))
    else:
        n_rows = 0
    for check in constraints(contract):
        if check.kind is Kind.PRESENT:
            n_bad[check.name] = missing[check.columns[0]]
        elif check.kind is Kind.TYPE:
            n_bad[check.name] = None if missing[check.columns[0]] else mistyped[check.columns[0]]
        elif check.kind is Kind.MIN_ROWS:
            n_bad[check.name] = max(0, check.minimum - n_rows)
        else:
            # Without any file nothing was measured, and no row breaks it.
            n_bad.setdefault(check.name, 0)
    return Measures(n_rows, n_bad)

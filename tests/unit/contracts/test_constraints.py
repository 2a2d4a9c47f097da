"""Valid rows pass their suite; each single fault fails exactly one expectation, its own.

The faults are enumerated from the contracts, so a new constraint is covered the moment it is declared. All
faults of one dataset are measured one by one (DuckDB, milliseconds) and validated in one Great Expectations
run, a row of the measures frame each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from angelia.contracts import CONTRACTS, gx
from angelia.contracts import duckdb as to_duckdb
from angelia.contracts.constraints import Constraint, Kind, constraints, is_float
from angelia.contracts.core import Dataset
from angelia.contracts.rows import DEFAULT_DS, valid_rows

N = 200
DAY = datetime.fromisoformat(DEFAULT_DS).replace(tzinfo=UTC)
CONNECTION = duckdb.connect()


def measured(contract: Dataset, table: pa.Table) -> to_duckdb.Measures:
    CONNECTION.register("rows", table)
    return to_duckdb.measure(
        CONNECTION, contract, [('SELECT * FROM "rows"', table.num_rows)], "rows", DEFAULT_DS
    )


def as_row(contract: Dataset, name: str, table: pa.Table) -> dict[str, Any]:
    measures = measured(contract, table)
    percents = {
        gx.measure_column(c): measures.bad_pct(c.name)
        for c in constraints(contract)
        if c.kind is not Kind.MIN_ROWS
    }
    return {gx.ROW: name, gx.N_ROWS: measures.n_rows, **percents}


def fewest_breaking(constraint: Constraint, n: int = N) -> int:
    return math.floor(n * constraint.tolerated_pct / 100) + 1


def replace(table: pa.Table, column: str, values: list[Any], kind: pa.DataType | None = None) -> pa.Table:
    place = table.column_names.index(column)
    return table.set_column(
        place,
        pa.field(column, kind or table.schema.field(column).type),
        pa.array(values, kind or table.schema.field(column).type),
    )


def bad_values(contract: Dataset, constraint: Constraint) -> Iterator[tuple[str, list[Any]]]:
    """Yield (label, N values each of which breaks the constraint on one column)."""
    column = contract[constraint.columns[0]]
    match constraint.kind:
        case Kind.NOT_NULL | Kind.MAX_NULL:
            yield "null", [None] * N
        case Kind.ALLOWED:
            yield "foreign", [f"foreign_{i}" for i in range(N)]
        case Kind.RANGE:
            number = float if is_float(column.type) else int
            if column.minimum is not None:
                yield "below", [number(column.minimum - 1)] * N
            if column.maximum is not None:
                yield "above", [number(column.maximum + 1)] * N
            if is_float(column.type):
                yield "nan", [math.nan] * N
                yield "infinite", [math.inf] * N
        case Kind.FINITE:
            for label, value in (("nan", math.nan), ("infinite", -math.inf)):
                yield label, [[value] * (column.length or 1) if pa.types.is_list(column.type) else value] * N
        case Kind.LENGTH:
            assert column.length is not None
            yield "short", [[1.0] * (column.length - 1)] * N
            yield "long", [[1.0] * (column.length + 1)] * N
        case Kind.PATTERN:
            yield "control", [f"\x01{i}" for i in range(N)]
            yield "newline", [f"ab{i}\n" for i in range(N)]
        case Kind.RULE:
            yield "rule", [f"Mars/Olympus_{i}" for i in range(N)]
        case Kind.NOT_FUTURE:
            yield "future", [DAY + timedelta(days=1)] * N
        case Kind.NOT_LATE:
            yield "late", [DAY - timedelta(days=contract.late_days or 0, microseconds=1)] * N
        case _:
            raise AssertionError(f"no fault is known for {constraint.kind}: add one")


def faults(contract: Dataset, constraint: Constraint) -> Iterator[tuple[str, pa.Table, bool]]:
    """Yield (label, table, whether it must fail): just over what is tolerated, and just within."""
    table = valid_rows(contract.name, N)
    match constraint.kind:
        case Kind.PRESENT:
            yield "dropped", table.drop_columns([constraint.columns[0]]), True
        case Kind.TYPE:
            name = constraint.columns[0]
            if pa.types.is_string(contract[name].type):
                yield (
                    "bytes",
                    replace(
                        table,
                        name,
                        [None if v is None else v.encode() for v in table[name].to_pylist()],
                        pa.binary(),
                    ),
                    True,
                )
            else:
                yield (
                    "text",
                    replace(table, name, [str(v) for v in table[name].to_pylist()], pa.string()),
                    True,
                )
        case Kind.UNIQUE:
            over = next(k for k in range(1, N) if 100 * k / (N + k) > constraint.tolerated_pct)
            yield "repeated", pa.concat_tables([table, table.slice(0, over)]), True
            if over > 1:
                yield "repeated within", pa.concat_tables([table, table.slice(0, over - 1)]), False
        case Kind.MIN_ROWS:
            yield "too few", table.slice(0, constraint.minimum - 1), True
        case _:
            name, over = constraint.columns[0], fewest_breaking(constraint)
            for label, bad in bad_values(contract, constraint):
                good = [
                    v if v is not None or not contract[name].max_null_pct else "UTC"
                    for v in table[name].to_pylist()
                ]
                yield label, replace(table, name, bad[:over] + good[over:]), True
                if over > 1:
                    yield f"{label} within", replace(table, name, bad[: over - 1] + good[over - 1 :]), False


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_fault_fails_exactly_its_own_expectation(name: str) -> None:
    contract = CONTRACTS[name]
    checks = constraints(contract)
    rows = [
        as_row(contract, "valid", valid_rows(name, N)),
        as_row(contract, "other seed", valid_rows(name, 57, seed=11)),
    ]
    if not contract.min_rows:
        rows.append(as_row(contract, "empty", valid_rows(name, 0)))
    must_fail: dict[str, set[str]] = {check.name: set() for check in checks}
    for check in checks:
        for label, table, fails in faults(contract, check):
            fault = f"{check.name}: {label}"
            rows.append(as_row(contract, fault, table))
            if fails:
                must_fail[check.name].add(fault)
    assert all(must_fail.values()), "every constraint has a fault"
    outcomes = gx.validate(contract.name, checks, rows)
    assert {one.check: one.crashed for one in outcomes if one.crashed} == {}
    assert {one.check: set(one.failed) for one in outcomes} == must_fail


@pytest.mark.parametrize("name", CONTRACTS)
def test_each_constraint_is_one_expectation_of_its_severity(name: str) -> None:
    contract = CONTRACTS[name]
    expectations = gx.suite(contract).expectations
    assert [(e.meta["check"], str(e.severity.value)) for e in expectations] == [
        (c.name, str(c.severity)) for c in constraints(contract)
    ]
    assert len({c.name for c in constraints(contract)}) == len(expectations)


def test_a_measure_that_is_not_there_is_a_crash_not_a_pass() -> None:
    checks = constraints(CONTRACTS["user_index"])
    outcomes = gx.validate("user_index", checks, [{gx.ROW: "all", gx.N_ROWS: 3}])
    assert len(outcomes) == len(checks)
    assert all(one.crashed and not one.success for one in outcomes)


def test_bad_rows_are_the_ones_counted() -> None:
    contract = CONTRACTS["user_profiles"]
    checks = {check.name: check for check in constraints(contract)}
    table = valid_rows("user_profiles", 50)
    table = replace(table, "timezone", ["Mars/Olympus"] * 3 + table["timezone"].to_pylist()[3:])
    table = pa.concat_tables([table, table.slice(10, 2)])
    CONNECTION.register("rows", table)
    wrong = to_duckdb.breaking_rows_sql(contract, checks["timezone.rule"], "rows")
    rows = CONNECTION.sql(wrong, params=to_duckdb.parameters(wrong, DEFAULT_DS)).to_arrow_table()
    assert rows["user_id"].to_pylist() == ["u0000000", "u0000001", "u0000002"]
    twice = CONNECTION.sql(
        to_duckdb.breaking_rows_sql(contract, checks["key.unique"], "rows")
    ).to_arrow_table()
    assert twice["user_id"].to_pylist() == ["u0000010", "u0000010", "u0000011", "u0000011"]


def test_a_column_that_one_file_of_two_lacks_is_missing() -> None:
    contract = CONTRACTS["user_index"]
    whole, part = valid_rows("user_index", 30), valid_rows("user_index", 20).drop_columns(["ordinal"])
    CONNECTION.register("whole", whole)
    CONNECTION.register("part", part)
    CONNECTION.execute(
        'CREATE OR REPLACE TEMP VIEW "both" AS SELECT * FROM "whole" UNION ALL BY NAME SELECT * FROM "part"'
    )
    measures = to_duckdb.measure(
        CONNECTION, contract, [("SELECT * FROM whole", 30), ("SELECT * FROM part", 20)], "both", DEFAULT_DS
    )
    assert measures.n_bad["ordinal.present"] == 20
    assert measures.n_bad["ordinal.not_null"] is None

"""Mapped rows against the contract.

Final types, times moved, ids hashed, and the reason of each bad row. Reads `mapped_<k>` of the connection,
leaves `ready_<k>`. An attribute of a person that breaks a rule becomes null and is counted; any other breach
rejects the row.
"""
# ruff: noqa: S608 - statements are made of quoted identifiers and names of our own; every value is a parameter.

from __future__ import annotations

from collections.abc import Mapping as MappingType
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from angelia.contracts import duckdb as rules
from angelia.contracts import ids
from angelia.contracts.constraints import FROM_SCHEMA, Kind, constraints
from angelia.contracts.core import TIMESTAMP
from angelia.days import FIRST_DAY
from angelia.importing.expressions import Compiler
from angelia.importing.inputs import quote
from angelia.importing.layers import FILE, ROW
from angelia.importing.staged import Staged, Window

BEYOND_DS = "after --ds"


def check_rows(
    connection: duckdb.DuckDBPyConnection, item: Staged, number: int, compiler: Compiler, window: Window
) -> None:
    """Make `ready_<k>`: final types, times moved, ids hashed, the contract's rules applied."""
    output, contract = item.output, item.output.contract
    is_choice = contract.name == "user_preferences"
    end = datetime.fromisoformat(window.ds).replace(tzinfo=UTC)
    columns = []
    for column in contract.columns:
        name = quote(column.name)
        if column.name not in output.columns:
            columns.append(f"CAST(NULL AS {rules.sql_type(column.type)}) AS {name}")
        elif column.name in compiler.hash_parts:
            columns.append(f"h.{name} AS {name}")
        elif column.type == TIMESTAMP:
            value = compiler.target(column.name)
            if value.days_before_ds:
                moment = f"timezone('UTC', CAST($ds AS TIMESTAMP) - to_days(m.{name}))"
            else:
                days = int(window.shift_days) if value.from_data_time else 0
                moment = f"timezone('UTC', m.{name} + to_days({days}))"
            # Who refused this morning is not written to today: what is said after ds counts as its last word.
            if is_choice and column.name == contract.day_column:
                last = "$day_end - INTERVAL 1 MICROSECOND"
                moment = f"CASE WHEN NOT m.is_opted_in THEN least({moment}, {last}) ELSE {moment} END"
            columns.append(f"{moment} AS {name}")
        else:
            columns.append(f"m.{name}")
    hashes = ""
    if compiler.hash_parts:
        connection.register("hashes", _hash_table(connection, number, compiler.hash_parts))
        hashes = "LEFT JOIN hashes AS h ON h.at = m.rowid"
    tail = f"m.{FILE}, m.{ROW}, m.__filtered, m.__rejected, m.__nulled"
    text = f"SELECT {', '.join(columns)}, {tail} FROM mapped_{number} AS m {hashes}"
    rule = output.day_of
    day = f"CAST({quote(rule.day_of)} AS DATE) - {int(rule.minus_days)}" if rule else "CAST($ds AS DATE)"
    broken = []
    for constraint in constraints(contract):
        if constraint.kind in (*FROM_SCHEMA, Kind.UNIQUE, Kind.MIN_ROWS, Kind.MAX_NULL, Kind.NOT_LATE):
            continue
        if constraint.kind is Kind.NOT_FUTURE and (rule or is_choice):
            continue  # a row of a later day is left out as such below
        name = constraint.columns[0]
        if name in output.columns and output.invalid(name) == "null" and constraint.kind is not Kind.NOT_NULL:
            continue
        broken.append((rules.condition(contract, constraint), f"{name}: {constraint.breach}"))
    beyond = f"WHEN __day > CAST($ds AS DATE) THEN '{BEYOND_DS}' " if rule else ""
    if is_choice:
        beyond = f"WHEN {quote(str(contract.day_column))} >= $day_end THEN '{BEYOND_DS}' "
    if rule:
        # No night has such a day. Seconds that are read as milliseconds all lie in January 1970.
        broken.insert(0, (f"__day < DATE '{FIRST_DAY}'", f"{rule.day_of}: before {FIRST_DAY}"))
    cases = " ".join(f"WHEN {condition} THEN {rules.literal(reason)}" for condition, reason in broken)
    replaced = []
    for column in contract.columns:
        if column.name in output.columns and output.invalid(column.name) == "null":
            bad = [
                c
                for c in constraints(contract)
                if c.columns == (column.name,)
                and c.kind not in (*FROM_SCHEMA, Kind.UNIQUE, Kind.MAX_NULL, Kind.NOT_NULL)
            ]
            for constraint in bad:
                replaced.append(
                    (
                        column.name,
                        rules.condition(contract, constraint),
                        f"{column.name}: {constraint.breach}",
                    )
                )
    if replaced:
        lost = ", ".join(
            f"CASE WHEN {condition} THEN {rules.literal(reason)} END" for _, condition, reason in replaced
        )
        by_column = {
            name: " OR ".join(f"coalesce({c}, false)" for other, c, _ in replaced if other == name)
            for name, _, _ in replaced
        }
        nulls = ", ".join(
            f"CASE WHEN {conditions} THEN NULL ELSE {quote(name)} END AS {quote(name)}"
            for name, conditions in by_column.items()
        )
        text = (
            f"SELECT * REPLACE ({nulls}, list_concat(__nulled, list_filter([{lost}], lambda reason: "
            f"reason IS NOT NULL)) AS __nulled) FROM ({text})"
        )
    query = (
        f"SELECT * REPLACE (CASE WHEN __filtered IS NOT NULL THEN __filtered {beyond}END AS __filtered, "
        f"CASE WHEN __rejected IS NOT NULL THEN __rejected {cases} END AS __rejected) FROM "
        f"(SELECT *, {day} AS __day FROM ({text}))"
    )
    parameters = {"ds": window.ds, **rules.parameters(query, window.ds), "day_end": end + timedelta(days=1)}
    connection.execute(
        f"CREATE TEMP TABLE {item.table} AS {query}",
        {name: value for name, value in parameters.items() if f"${name}" in query},
    )
    connection.execute(f"DROP TABLE mapped_{number}")
    if compiler.hash_parts:
        connection.unregister("hashes")


def _hash_table(
    connection: duckdb.DuckDBPyConnection, number: int, parts: MappingType[str, list[str]]
) -> pa.Table:
    """Return row number -> message_id and dispatch_id; null where a part is missing.

    By the one definition of them, contracts.ids.
    """
    listed = ", ".join(
        f"hash_{name}_{position}" for name, steps in parts.items() for position in range(len(steps))
    )
    table = connection.sql(f"SELECT rowid AS at, {listed} FROM mapped_{number}").to_arrow_table()
    hashed: dict[str, pa.Array] = {"at": table["at"]}
    for name in sorted(parts, reverse=True):  # message_id before dispatch_id, which may be made from it
        columns = [table[f"hash_{name}_{position}"].to_pylist() for position in range(len(parts[name]))]
        if name == "dispatch_id" and "message_id" in hashed:
            columns[0] = hashed["message_id"].to_pylist()
        hashed[name] = pa.array(
            [None if None in row else _hash_of(name, row) for row in zip(*columns, strict=True)], pa.string()
        )
    return pa.table(hashed)


def _hash_of(name: str, row: tuple[str, ...]) -> str:
    return (
        ids.message_id(row[0], row[1], "-".join(row[2:])) if name == "message_id" else ids.dispatch_id(*row)
    )

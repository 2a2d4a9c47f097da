"""Run a mapping over its files; nothing is written yet.

Every row ends as kept, filtered (asked for) or rejected (bad), each under a reason. Reads the opened inputs;
leaves tables `ready_<k>` in the connection, one per output: contract columns, partition day, reason. What
would surprise: a row has one reason, the first that applies (filters first, then columns in the contract's
order, the contract's own rules, duplicates).
"""
# ruff: noqa: S608 - statements are made of quoted identifiers and names of our own; every value is a parameter.

from __future__ import annotations

from collections.abc import Mapping as MappingType
from datetime import UTC, date, datetime, timedelta

import duckdb

from angelia.contracts import duckdb as rules
from angelia.contracts.core import TIMESTAMP
from angelia.errors import InvalidInput
from angelia.importing.addresses import refuse_impossible
from angelia.importing.attributes import normalise
from angelia.importing.checking import check_rows
from angelia.importing.expressions import Compiler
from angelia.importing.inputs import OpenedInput, quote
from angelia.importing.layers import FILE, FLOATS, ROW, Layers
from angelia.importing.mapping import Mapping, Output, nearest_column
from angelia.importing.staged import Staged, Window

# Datasets whose rows are words that a later one takes back, and the column that says yes or no.
STATES = {"user_preferences": "is_opted_in", "user_endpoints": "is_active"}
EARLIEST, LATEST = "1900-01-01", "2200-01-01"  # no moment of a person or a push lies outside


def stage(
    connection: duckdb.DuckDBPyConnection,
    mapping: Mapping,
    inputs: MappingType[str, OpenedInput],
    ds: str | None,
) -> tuple[Window, list[Staged]]:
    """Map, check and sort the rows of every output.

    Raises:
        InvalidInput: a column that the files lack, or no day to import for.
    """
    connection.execute("SET TimeZone = 'UTC'")
    staged = [Staged(output, f"ready_{number}") for number, output in enumerate(mapping.outputs)]
    compiled: dict[int, Compiler] = {}
    for number, item in enumerate(staged):
        if not item.output.empty:
            compiled[number] = _map_rows(connection, mapping, inputs, item, number)
    window = _window(connection, mapping, staged, ds)
    for number, item in enumerate(staged):
        if not item.output.empty:
            check_rows(connection, item, number, compiled[number], window)
    _mark_duplicates(connection, staged)
    for item in staged:
        if not item.output.empty:
            _count(connection, item, inputs)
    return window, staged


def _base(
    mapping: Mapping, inputs: MappingType[str, OpenedInput], output: Output
) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return the relation an output reads, and its columns as name -> (SQL, type)."""
    assert output.input is not None
    main = inputs[output.input]
    columns = {name: (f"main.{quote(name)}", kind) for name, kind in main.types.items()}
    columns |= {"file.name": (f"main.{FILE}", "VARCHAR"), "file.row": (f"main.{ROW}", "BIGINT")}
    relation = f"{main.relation} AS main"
    for number, join in enumerate(output.join):
        other = inputs[join.input]
        conditions, parts = [], []
        for left, right in join.keys.items():
            for name, types, where in ((left, main.types, output.input), (right, other.types, join.input)):
                if name not in types:
                    raise InvalidInput(
                        f"{output.dataset}: input {where} has no column {name!r} to join on",
                        fix=nearest_column(name, types),
                    )
            # As texts, the 17 of one file would never be the 17.0 of the other.
            kind = "DOUBLE" if {main.types[left], other.types[right]} & {*FLOATS} else "VARCHAR"
            parts.append(f"TRY_CAST({quote(right)} AS {kind})")
            conditions.append(
                f"TRY_CAST(main.{quote(left)} AS {kind}) = TRY_CAST(other{number}.{quote(right)} AS {kind})"
            )
        keys = ", ".join(parts)
        # Only the first row of a key joins; a second one would double the row that it joins.
        first = (
            f"SELECT * FROM {other.relation} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY "
            f"{FILE}, {ROW}) = 1"
        )
        relation += f" LEFT JOIN ({first}) AS other{number} ON {' AND '.join(conditions)}"
        columns.update(
            {
                f"{join.input}.{name}": (f"other{number}.{quote(name)}", kind)
                for name, kind in other.types.items()
            }
        )
    return relation, columns


def _map_rows(
    connection: duckdb.DuckDBPyConnection,
    mapping: Mapping,
    inputs: MappingType[str, OpenedInput],
    item: Staged,
    number: int,
) -> Compiler:
    """Make `mapped_<k>`: the columns as mapped, before days are known."""
    output = item.output
    relation, columns = _base(mapping, inputs, output)
    # The layers see the file's columns under short names of ours, so that a file column can be called
    # anything.
    names = {name: f"f{position}" for position, name in enumerate(columns)}
    listed = ", ".join(f"{sql} AS {names[name]}" for name, (sql, _) in columns.items())
    layers = Layers(f"SELECT {listed}, main.{FILE}, main.{ROW} FROM {relation}")
    typed = {name: (names[name], kind) for name, (_, kind) in columns.items()}
    compiler = Compiler(output, layers, typed, mapping.timezone, mapping.inputs)
    filters = [(compiler.condition(condition), condition.reason) for condition in output.filter]
    values = {
        column.name: compiler.target(column.name)
        for column in output.contract.columns
        if column.name in output.columns
    }
    personal = set().union(
        *(compiler.reads.get(column.name, set()) for column in output.contract.columns if column.personal)
    )
    item.raw_columns = [(name, names[name], name in personal) for name in compiler.used]
    item.base = layers.base
    problems = [
        (name, condition, reason) for name, value in values.items() for condition, reason in value.problems
    ]
    reject = [(c, r) for name, c, r in problems if output.invalid(name) == "reject"]
    selected = [f"{FILE}", f"{ROW}"]
    selected += [f"{value.step} AS {quote(name)}" for name, value in values.items()]
    selected += [
        f"{step} AS hash_{name}_{position}"
        for name, steps in compiler.hash_parts.items()
        for position, step in enumerate(steps)
    ]
    selected.append(
        f"{_first(layers, [(f'NOT {condition}', reason) for condition, reason in filters])} AS __filtered"
    )
    selected.append(f"{_first(layers, reject)} AS __rejected")
    nulled = [(c, r) for name, c, r in problems if output.invalid(name) == "null"]
    listed = ", ".join(
        f"CASE WHEN {condition} THEN {layers.bind(reason)} END" for condition, reason in nulled
    )
    selected.append(
        f"list_filter(CAST([{listed}] AS VARCHAR[]), lambda reason: reason IS NOT NULL) AS __nulled"
    )
    try:
        connection.execute(
            f"CREATE TEMP TABLE mapped_{number} AS SELECT {', '.join(selected)} FROM ({layers.sql()})",
            layers.params,
        )
    except duckdb.Error as error:
        # The engine's own words may quote a value of a row; its kind may not.
        raise InvalidInput(
            f"{output.dataset}: the mapping cannot be run ({type(error).__name__})",
            fix="check column types and patterns",
        ) from None
    _refuse_far_moments(connection, output, number)
    normalise(connection, output, f"mapped_{number}")
    refuse_impossible(connection, output, f"mapped_{number}")
    return compiler


def _refuse_far_moments(connection: duckdb.DuckDBPyConnection, output: Output, number: int) -> None:
    """Reject rows with moments that Python, or a night's arithmetic, cannot hold.

    Infinity, the year 1, the year 99999.
    """
    table = f"mapped_{number}"
    for column in output.contract.columns:
        if column.type != TIMESTAMP or column.name not in output.columns:
            continue
        name = quote(column.name)
        ((kind,),) = connection.sql(f"SELECT typeof({name}) FROM {table} LIMIT 1").fetchall() or [("",)]
        if not kind.startswith("TIMESTAMP"):
            continue  # days before --ds
        reason = rules.literal(f"{column.name}: moment out of range")
        if output.invalid(column.name) == "null":
            change = f"__nulled = list_append(__nulled, {reason})"
        else:
            change = f"__rejected = coalesce(__rejected, {reason})"
        far = f"({name} < TIMESTAMP '{EARLIEST}' OR {name} >= TIMESTAMP '{LATEST}')"
        connection.execute(f"UPDATE {table} SET {change}, {name} = NULL WHERE {far}")


def _first(layers: Layers, cases: list[tuple[str, str]]) -> str:
    """Return the SQL of the first reason whose condition holds, else null."""
    if not cases:
        return "CAST(NULL AS VARCHAR)"
    return (
        "CASE "
        + " ".join(f"WHEN {condition} THEN {layers.bind(reason)}" for condition, reason in cases)
        + " END"
    )


def _window(
    connection: duckdb.DuckDBPyConnection, mapping: Mapping, staged: list[Staged], ds: str | None
) -> Window:
    """Return the last day and the shift.

    The data's own last day up to today, unless `--ds` says otherwise.
    """
    last, today = None, datetime.now(UTC).date()
    for number, item in enumerate(staged):
        rule = item.output.day_of
        if rule and not item.output.empty:
            ((moment,),) = connection.sql(
                f"SELECT max(CAST({quote(rule.day_of)} AS DATE)) FROM mapped_{number} WHERE "
                f"__filtered IS NULL AND __rejected IS NULL "
                f"AND CAST({quote(rule.day_of)} AS DATE) <= "
                f"DATE '{today}'"  # a typo year must not move everybody's days
            ).fetchall()
            if moment is not None:
                day = moment - timedelta(days=rule.minus_days)
                last = day if last is None else max(last, day)
    if mapping.shift == "to_ds":
        if ds is None or last is None:
            raise InvalidInput(
                f"{mapping.name} moves its times to end at --ds",
                fix="give --ds" if ds is None else "no row has a time",
            )
        return Window(ds, (date.fromisoformat(ds) - last).days)
    shift = mapping.shift if isinstance(mapping.shift, int) else 0
    # Rows are moved before they are published, so the day that they give is moved with them.
    if ds is None:
        if last is None:
            raise InvalidInput(
                f"no row of {mapping.name} has a time that would give the day", fix="give --ds"
            )
        ds = (last + timedelta(days=shift)).isoformat()
    return Window(ds, shift)


def _mark_duplicates(connection: duckdb.DuckDBPyConnection, staged: list[Staged]) -> None:
    """Leave one row of each key within a partition (see `_order`).

    The others are filtered where `distinct` asks for it, else rejected.
    """
    for dataset in dict.fromkeys(item.output.dataset for item in staged if not item.output.empty):
        same = [item for item in staged if item.output.dataset == dataset and not item.output.empty]
        contract = same[0].output.contract
        keys = ", ".join(quote(name) for name in contract.key)
        union = " UNION ALL BY NAME ".join(
            f"SELECT {keys}, __day, {position} AS __output, rowid AS __at, {FILE}, {ROW}, "
            f"{_order(item.output)} "
            f"FROM {item.table} WHERE __filtered IS NULL AND __rejected IS NULL"
            for position, item in enumerate(same)
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE later AS SELECT __output, __at FROM ({union}) "
            f"QUALIFY row_number() OVER (PARTITION BY {keys}, __day ORDER BY __moment NULLS LAST, "
            f"__first NULLS LAST, __output, {FILE}, {ROW}) > 1"
        )
        for position, item in enumerate(same):
            column, reason = (
                ("__filtered", "duplicate")
                if item.output.distinct
                else ("__rejected", f"duplicate ({', '.join(contract.key)})")
            )
            connection.execute(
                (
                    f"UPDATE {item.table} SET {column} = $reason WHERE rowid IN (SELECT __at FROM "
                    f"later WHERE __output = {position})"
                ),
                {"reason": reason},
            )


def _order(output: Output) -> str:
    """Return what decides which of several rows of a key is kept.

    The earliest moment, then one with an answer; of what a person or device says, the newest, then the no.
    Else the first of the files.
    """
    day, is_state = output.contract.day_column, output.dataset in STATES
    moment = f"epoch_us({quote(day)})" if day and day in output.columns else "CAST(NULL AS BIGINT)"
    answer = "epoch_us(opened_ts)" if "opened_ts" in output.columns else "CAST(NULL AS BIGINT)"
    if is_state:
        # An older yes must not outlive the no that came after it.
        moment, answer = f"-{moment}", f"CAST({quote(STATES[output.dataset])} AS BIGINT)"
    return f"{moment} AS __moment, {answer} AS __first"


def _count(
    connection: duckdb.DuckDBPyConnection, item: Staged, inputs: MappingType[str, OpenedInput]
) -> None:
    """Count how the rows ended; lines that were no CSV rows count as read and rejected."""
    assert item.output.input is not None
    (row,) = connection.sql(
        f"SELECT count(*), count(*) FILTER (WHERE __filtered IS NULL AND __rejected IS NULL) FROM "
        f"{item.table}"
    ).fetchall()
    broken = inputs[item.output.input].n_broken_lines
    item.n_read, item.n_kept = row[0] + broken, row[1]
    by = f"SELECT {{column}}, count(*) FROM {item.table} WHERE {{where}} GROUP BY 1 ORDER BY 2 DESC, 1"
    item.filtered = dict(
        connection.sql(by.format(column="__filtered", where="__filtered IS NOT NULL")).fetchall()
    )
    item.rejected = dict(
        connection.sql(
            by.format(column="__rejected", where="__filtered IS NULL AND __rejected IS NOT NULL")
        ).fetchall()
    )
    if broken:
        item.rejected[inputs[item.output.input].broken_reason] = broken
    item.nulled = dict(
        connection.sql(
            f"SELECT unnest(__nulled) AS reason, count(*) FROM {item.table} WHERE __filtered IS "
            f"NULL AND __rejected IS NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )

"""Contract -> its constraints, each with the one name that every engine and page uses.

Engine-free: `contracts.duckdb` counts the rows that break a constraint, `contracts.gx` turns the count into
an expectation. A new kind of constraint is added here, given a condition in `contracts.duckdb` and a breaking
value in tests/unit/contracts; nothing else changes. Surprise: a NaN or an infinity breaks the range (or
`finite`) of a float column, not its `not_null`; a null breaks only `not_null` or `max_null`; rows with a null
in a not-null key column are not counted as duplicates. So one fault breaks one constraint.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from angelia.contracts.core import Column, Dataset, Severity


class Kind(StrEnum):
    """The kinds of constraint; `PRESENT` and `TYPE` are read off schemas, the others off rows."""

    PRESENT = "present"
    TYPE = "type"
    NOT_NULL = "not_null"
    MAX_NULL = "max_null"
    ALLOWED = "allowed"
    RANGE = "range"
    FINITE = "finite"
    LENGTH = "length"
    PATTERN = "pattern"
    RULE = "rule"
    UNIQUE = "unique"
    NOT_FUTURE = "not_future"
    NOT_LATE = "not_late"
    MIN_ROWS = "min_rows"


FROM_SCHEMA = (Kind.PRESENT, Kind.TYPE)


@dataclass(frozen=True)
class Constraint:
    """One thing that must hold for a dataset.

    `tolerated_pct` percent of its rows may break it before its expectation fails. `name` is `column.kind`, or
    `key.unique` and `rows.min`; `breach` describes a breaking row in a few words.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    tolerated_pct: float
    severity: Severity
    breach: str
    minimum: int = 0  # of MIN_ROWS: the fewest rows


def is_float(kind: pa.DataType) -> bool:
    """Return whether values of this type (or of a list of it) can be NaN."""
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind))


def constraints(contract: Dataset) -> tuple[Constraint, ...]:
    """Return a contract's constraints in a fixed order.

    Columns as declared, then key, day and rows.
    """
    rules = [constraint for column in contract.columns for constraint in _of_column(column)]
    if contract.key:
        breach = f"duplicate ({', '.join(contract.key)})"
        rules.append(
            Constraint(
                "key.unique", Kind.UNIQUE, contract.key, contract.key_tolerated_pct, Severity.CRITICAL, breach
            )
        )
    if contract.day_column:
        name, tolerated = contract.day_column, contract.day_tolerated_pct
        rules.append(
            Constraint(
                f"{name}.not_future",
                Kind.NOT_FUTURE,
                (name,),
                tolerated,
                Severity.CRITICAL,
                "after the end of ds",
            )
        )
        # 0 is a limit, too: it allows no row of an earlier day.
        if contract.late_days is not None:
            breach = f"more than {contract.late_days} days before ds" if contract.late_days else "before ds"
            rules.append(
                Constraint(f"{name}.not_late", Kind.NOT_LATE, (name,), tolerated, Severity.CRITICAL, breach)
            )
    if contract.min_rows:
        breach = f"fewer than {contract.min_rows} rows"
        rules.append(
            Constraint("rows.min", Kind.MIN_ROWS, (), 0.0, Severity.CRITICAL, breach, contract.min_rows)
        )
    return tuple(rules)


def _of_column(column: Column) -> list[Constraint]:
    rules: list[Constraint] = []

    def add(
        kind: Kind, breach: str, tolerated: float = column.tolerated_pct, severity: Severity = column.severity
    ) -> None:
        rules.append(Constraint(f"{column.name}.{kind}", kind, (column.name,), tolerated, severity, breach))

    # Whatever a column's values are worth, the jobs that read it need it there, unless they can do without.
    if not column.optional:
        add(Kind.PRESENT, "column missing", 0.0, Severity.CRITICAL)
    add(Kind.TYPE, f"not of type {type_name(column.type)}", 0.0, Severity.CRITICAL)
    if not column.nullable:
        add(Kind.NOT_NULL, "null")
    elif column.max_null_pct is not None:
        add(Kind.MAX_NULL, "null", column.max_null_pct)
    if column.allowed is not None:
        add(Kind.ALLOWED, f"not one of {', '.join(map(str, column.allowed))}")
    if column.minimum is not None or column.maximum is not None:
        low = "" if column.minimum is None else f"{column.minimum:g}"
        high = "" if column.maximum is None else f"{column.maximum:g}"
        add(Kind.RANGE, f"outside {low}..{high}")
    elif is_float(column.type):
        add(Kind.FINITE, "NaN or infinite")
    if column.length is not None:
        add(Kind.LENGTH, f"not {column.length} values")
    if column.pattern is not None:
        add(Kind.PATTERN, f"not matching {column.pattern}")
    if column.rule is not None:
        add(Kind.RULE, f"no {column.rule.replace('_', ' ')}")
    return rules


def type_name(kind: pa.DataType) -> str:
    """Return a type in few words: `string`, `list of string`, `timestamp (us, UTC)`."""
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "struct"
    if pa.types.is_timestamp(kind):
        return f"timestamp ({kind.unit}, {kind.tz})"
    return str(kind)

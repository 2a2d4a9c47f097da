"""Contract -> Arrow schema, and the cheap row check every writer runs."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.constraints import type_name
from angelia.contracts.core import Column, Dataset
from angelia.errors import InvalidInput


def schema(contract: Dataset) -> pa.Schema:
    """Return the Arrow schema, in declared order, with meanings as field metadata."""
    return pa.schema(
        [
            pa.field(c.name, c.type, nullable=c.nullable, metadata={"meaning": c.meaning})
            for c in contract.columns
        ],
        metadata={"dataset": contract.name, "contract_version": str(contract.version)},
    )


def conform(table: pa.Table, contract: Dataset) -> pa.Table:
    """Return `table` as the contract has it; a missing optional column is null.

    Raises:
        InvalidInput: a column is missing or unknown, a cast would lose, or a not-null column holds nulls.
    """
    missing = [
        name for name in contract.names if name not in table.column_names and not contract[name].optional
    ]
    extra = [name for name in table.column_names if name not in contract]
    if missing or extra:
        raise InvalidInput(f"{contract.name}: missing columns {missing}, unknown columns {extra}")
    columns = []
    for column in contract.columns:
        is_there = column.name in table.column_names
        values = table[column.name] if is_there else pa.nulls(table.num_rows, column.type)
        if values.type != column.type:
            try:
                values = values.cast(column.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                # The engine's own words quote the value.
                raise InvalidInput(
                    f"{contract.name}.{column.name}: a value of type {type_name(values.type)} cannot become "
                    f"{type_name(column.type)}"
                ) from None
        if not column.nullable and values.null_count:
            raise InvalidInput(
                f"{contract.name}.{column.name}: {values.null_count} nulls where none is allowed"
            )
        columns.append(values)
    return pa.Table.from_arrays(columns, schema=schema(contract))


def keeps(values: pa.Array, column: Column) -> pa.Array:
    """Return which values keep their column's pattern, allowed values and range; never null.

    A missing value keeps them if it may be missing.
    """
    holds = [pc.is_valid(values)]
    if column.allowed is not None:
        holds.append(pc.is_in(values, value_set=pa.array(column.allowed, values.type)))
    if column.minimum is not None:
        holds.append(pc.greater_equal(values, column.minimum))
    if column.maximum is not None:
        holds.append(pc.less_equal(values, column.maximum))  # NaN is neither
    if column.pattern is not None:
        holds.append(pc.match_substring_regex(values, column.pattern))
    good = holds[0]
    for each in holds[1:]:
        good = pc.and_(good, pc.fill_null(each, False))
    return pc.or_(good, pc.is_null(values)) if column.nullable else good


def names_in(have: Sequence[str], wanted: Sequence[str], contract: Dataset | None, path: str) -> list[str]:
    """Return the wanted columns that a file has; it may lack optional ones.

    Raises:
        InvalidInput: it lacks another one.
    """
    absent = [name for name in wanted if name not in have]
    missing = [name for name in absent if not may_lack(contract, name)]
    if missing:
        # Their names may be anything, in a file from the outside.
        fix = f"it has {len(have)} others"
        if contract is not None:
            fix += f"; if an older release wrote it, write it again: {', '.join(contract.written_by)}"
        raise InvalidInput(f"{path} has no column {', '.join(missing)}", fix=fix)
    return [name for name in wanted if name in have]


def may_lack(contract: Dataset | None, name: str) -> bool:
    """Return whether files of a dataset may lack a column."""
    return contract is not None and name in contract and contract[name].optional


def filled(rows: pa.Table, wanted: Sequence[str], contract: Dataset | None) -> pa.Table:
    """Return the wanted columns of a table or batch, each once; missing optional ones are null."""
    for name in wanted:
        if contract is not None and may_lack(contract, name) and name not in rows.schema.names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, contract[name].type))
    # Whoever joins two lists of names may name a column twice, and such tables cannot be joined.
    return rows.select(list(dict.fromkeys(wanted)))


def where(rows: pa.Table, keep: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the rows to keep, (n,) without nulls; nothing is copied where that is all."""
    return rows if pc.all(keep, min_count=0).as_py() else rows.filter(keep)


def by_ordinal(rows: pa.Table) -> pa.Table:
    """Return rows in the order of their ordinals; as they stand where they have it."""
    ordinal = rows["ordinal"].to_numpy()
    return rows if (ordinal[1:] > ordinal[:-1]).all() else rows.sort_by("ordinal")

"""Contract -> Arrow schema, and the cheap row check every writer runs."""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.constraints import type_name
from angelia.contracts.core import Dataset
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
    """Return `table` with the contract's columns, order and types.

    Raises:
        InvalidInput: a column is missing or unknown, a cast would lose, or a not-null column holds nulls.
    """
    missing = [name for name in contract.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in contract]
    if missing or extra:
        raise InvalidInput(f"{contract.name}: missing columns {missing}, unknown columns {extra}")
    columns = []
    for column in contract.columns:
        values = table[column.name]
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

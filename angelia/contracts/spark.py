"""Contract -> Spark schema.

Surprise: Spark has no unsigned integers, so uint32 ordinals are LongType there.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from angelia.contracts.core import Dataset


def schema(contract: Dataset) -> Any:
    """Return the StructType of a dataset: declared order, nullability, meanings as comments."""
    from pyspark.sql import types

    return types.StructType(
        [
            types.StructField(
                column.name, spark_type(column.type), column.nullable, {"comment": column.meaning}
            )
            for column in contract.columns
        ]
    )


def spark_type(kind: pa.DataType) -> Any:
    """Return the Spark type that holds every value of an Arrow type."""
    from pyspark.sql import types

    simple = {
        pa.string(): types.StringType(),
        pa.binary(): types.BinaryType(),
        pa.bool_(): types.BooleanType(),
        pa.int8(): types.ByteType(),
        pa.int16(): types.ShortType(),
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.uint32(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
        pa.timestamp("us", tz="UTC"): types.TimestampType(),
    }
    if pa.types.is_list(kind):
        return types.ArrayType(spark_type(kind.value_type), True)
    if pa.types.is_struct(kind):
        return types.StructType(
            [types.StructField(part.name, spark_type(part.type), part.nullable) for part in kind]
        )
    return simple[kind]


def ddl(contract: Dataset) -> str:
    """Return the schema as the DDL text that `mapInArrow` and `createDataFrame` take."""
    return ", ".join(
        f"`{field.name}` {field.dataType.simpleString()}{'' if field.nullable else ' NOT NULL'}"
        for field in schema(contract).fields
    )

"""Value rules of the contracts for Spark, as conditions or as bits of a row; never null.

A job leaves out a row that breaks one, and counts it. Surprise: Spark writes a condition out wherever its
column is used, so what is asked of each of many rows is told by Arrow as they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StructField, StructType

from angelia.contracts import dataset
from angelia.contracts.arrow import keeps

BROKEN = StructType([StructField("broken", IntegerType(), False)])


def with_broken(name: str, columns: Sequence[str]) -> Callable[[pa.Table], pa.Table]:
    """Return what adds `broken` to rows: a bit for each column that breaks its rule."""
    contract = dataset(name)

    def add(rows: pa.Table) -> pa.Table:
        bits = np.zeros(rows.num_rows, np.int32)
        for place, column in enumerate(columns):
            good = keeps(rows[column].combine_chunks(), contract[column])
            bits |= (~good.to_numpy(zero_copy_only=False)).astype(np.int32) << place
        return rows.append_column("broken", pa.array(bits))

    return add


def breaks(columns: Sequence[str], column: str) -> Column:
    """Return the condition that a column breaks its rule, as `with_broken` told."""
    return F.col("broken").bitwiseAND(1 << list(columns).index(column)) != 0


def valid(name: str, column: str) -> Column:
    """Return the condition that a row's value satisfies its column's contract.

    It covers nulls, pattern, allowed values and range.
    """
    rule, value = dataset(name)[column], F.col(column)
    holds = F.lit(True)
    if rule.pattern is not None:
        # Java's $ would let a trailing line break pass.
        holds &= value.rlike(rule.pattern.removesuffix("$") + r"\z")
    if rule.allowed is not None:
        holds &= value.isin(*rule.allowed)
    if rule.minimum is not None:
        holds &= value >= rule.minimum
    if rule.maximum is not None:
        holds &= value <= rule.maximum  # NaN is greater than any number, so it fails here
    return (
        F.coalesce(holds, F.lit(False)) | value.isNull()
        if rule.nullable
        else F.coalesce(holds & value.isNotNull(), F.lit(False))
    )


def first_reason(reasons: dict[str, Column]) -> Column:
    """Return the name of the first condition that holds, else null."""
    return F.coalesce(*[F.when(condition, F.lit(name)) for name, condition in reasons.items()])

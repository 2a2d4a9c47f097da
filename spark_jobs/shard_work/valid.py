"""Value rules of the contracts as Spark conditions, never null.

A job leaves out a row that breaks one, and counts it.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from angelia.contracts import dataset


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

"""What a contract is: one declaration per dataset, from which everything else is derived.

Schemas, checks, documents and test rows come from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa


class Severity(StrEnum):
    """What a breach does: `critical` closes the gate, `warning` only appears in the report."""

    CRITICAL = "critical"
    WARNING = "warning"


TIMESTAMP = pa.timestamp("us", tz="UTC")
TIMEZONE_RULE = "iana_timezone"
# The only leaf of an append-only log (`log=0`), and of the chain of `user_index` (`chain=0`).
LOG = CHAIN = "0"


@dataclass(frozen=True)
class Column:
    """One column of a dataset.

    `tolerated_pct` is the share of rows, in percent, that may break a *value* rule of this column before its
    expectation fails; rows that break it are dropped and counted by the job that reads them. Zero for
    everything we write.
    """

    name: str
    type: pa.DataType
    meaning: str
    unit: str | None = None
    nullable: bool = False
    allowed: tuple[str | int, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    rule: str | None = None  # a named value rule beyond the others: TIMEZONE_RULE
    length: int | None = None  # of a list column: each list has exactly this many elements
    max_null_pct: float | None = None  # for nullable columns: more nulls than this is a breach
    tolerated_pct: float = 0.0
    severity: Severity = (
        Severity.CRITICAL
    )  # of its value rules; a missing or mistyped column is always critical
    optional: bool = False  # files of a source, or older ones, may lack it: it reads as null then
    personal: bool = False  # an address or id of a person: never in logs, reports, quality results
    words: Mapping[str, str] = field(
        default_factory=dict, compare=False
    )  # each word it holds -> what it means
    fields: tuple[Column, ...] = ()  # of a list of structs: the members of one element, for documents only


@dataclass(frozen=True)
class Dataset:
    """One dataset: grain, key, partitioning and columns.

    `partition` names the keys of the leaf that one commit covers; `layout` the further keys that appear in
    its file paths. `day_column` is the timestamp whose UTC day may be at most `ds` (the future is a breach)
    and at least `ds - late_days`.
    """

    name: str
    version: int
    grain: str
    key: tuple[str, ...]
    partition: tuple[str, ...]
    columns: tuple[Column, ...]
    written_by: tuple[str, ...]
    layout: tuple[str, ...] = ()
    key_tolerated_pct: float = 0.0
    day_column: str | None = None
    late_days: int | None = None
    day_tolerated_pct: float = 0.0
    min_rows: int = 0
    retention_days: int | None = None
    notes: str = ""
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({column.name: column for column in self.columns})
        if len(self._by_name) != len(self.columns):
            raise ValueError(f"{self.name}: a column is declared twice")
        for name in self.key:
            if name not in self._by_name:
                raise ValueError(f"{self.name}: key column {name} is not declared")

    def __getitem__(self, column: str) -> Column:
        return self._by_name[column]

    def __contains__(self, column: str) -> bool:
        return column in self._by_name

    @property
    def names(self) -> list[str]:
        """Column names in declared order."""
        return [column.name for column in self.columns]

"""Fields a predicate may name, all derived from the `user_features` contract.

- text, number and flag columns under their own name;
- `tag` (from the list column `tags`): `tag = 'x'` means the person has it;
- for every `days_since_X` column the date field `X_date` (`signup_date`, `event_date`, …).

Columns behind a function of the language (`channels`: reachable, `opted_out_topics`: opted_out) and ids are
not fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from angelia.contracts.core import Column
from angelia.contracts.derived import USER_FEATURES
from angelia.contracts.sources import USER_PROFILES


class FieldKind(StrEnum):
    """How a field's values compare."""

    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    FLAG = "flag"
    SET = "set"
    DATE = "date"


@dataclass(frozen=True)
class Field:
    """One field: its user_features column, its kind, and the allowed values (None = any)."""

    name: str
    column: str
    kind: FieldKind
    nullable: bool
    meaning: str
    allowed: tuple[str, ...] | None = None


def _kind(column: Column) -> FieldKind | None:
    if pa.types.is_boolean(column.type):
        return FieldKind.FLAG
    if pa.types.is_integer(column.type):
        return FieldKind.INTEGER
    if pa.types.is_floating(column.type):
        return FieldKind.REAL
    return FieldKind.TEXT if pa.types.is_string(column.type) else None


def _derive() -> dict[str, Field]:
    fields: dict[str, Field] = {}
    sources = {column.name: column for column in USER_PROFILES.columns}
    for column in USER_FEATURES.columns:
        kind = _kind(column)
        if column.name in USER_FEATURES.key or column.personal or kind is None:
            continue
        values = sources[column.name].allowed if column.name in sources else None
        allowed = tuple(str(value) for value in values) if values else None
        fields[column.name] = Field(column.name, column.name, kind, column.nullable, column.meaning, allowed)
        if column.name.startswith("days_since_"):
            name = f"{column.name.removeprefix('days_since_')}_date"
            fields[name] = Field(
                name, column.name, FieldKind.DATE, column.nullable, f"UTC day: {column.meaning}"
            )
    tags = USER_FEATURES["tags"]
    fields["tag"] = Field("tag", "tags", FieldKind.SET, tags.nullable, "has this tag")
    return fields


FIELDS: dict[str, Field] = _derive()
BEHIND_FUNCTIONS = {
    "channels": "reachable('fcm')",
    "channel": "reachable('fcm')",
    "opted_out_topics": "opted_out('promo')",
    "tags": "tag = 'x'",
}

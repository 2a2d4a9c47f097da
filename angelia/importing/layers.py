"""A query grown step by step, every value a bound parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from angelia.contracts.sources import MISSING_IDS

PEOPLES_IDS = ("user_id", "external_id")
FILE, ROW = "__file", "__row"  # columns of every relation: where a row stands
WHOLE = ("SMALLINT", "INTEGER", "BIGINT")
FLOATS = ("DOUBLE", "FLOAT")
TRANSFORMS = {
    "trim": "trim({})",
    "lower": "lower({})",
    "upper": "upper({})",
    # An id of any text and length; the same text gives the same id in every import.
    "hash": "left(sha256({}), 32)",
    # What a contract name may hold: lower-case letters, digits and underscores, 64 at most.
    "slug": "nullif(left(trim(regexp_replace(lower({}), '[^a-z0-9]+', '_', 'g'), '_'), 64), '')",
}


@dataclass
class Layers:
    """A query grown step by step.

    A step may use steps of earlier layers, so no expression is ever repeated inside another.
    """

    base: str
    params: dict[str, object] = field(default_factory=dict)
    _layers: list[list[tuple[str, str]]] = field(default_factory=list)
    _level: dict[str, int] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """Bind a value and return its placeholder."""
        name = f"p{len(self.params)}"
        self.params[name] = value
        return f"${name}"

    def add(self, sql: str, uses: Sequence[str] = ()) -> str:
        """Add a step and return its column's name."""
        level = max((self._level[name] + 1 for name in uses), default=0)
        while len(self._layers) <= level:
            self._layers.append([])
        name = f"v{len(self._level)}"
        self._level[name] = level
        self._layers[level].append((name, sql))
        return name

    def real_id(self, column: str, step: str) -> str:
        """Return a step that is null where a column of people's ids has a word for none."""
        if column not in PEOPLES_IDS:
            return step
        words = ", ".join(map(self.bind, MISSING_IDS))
        return self.add(f"CASE WHEN trim(CAST({step} AS VARCHAR)) NOT IN ({words}) THEN {step} END", [step])

    def sql(self) -> str:
        """Return the whole query: all columns of the base and all steps."""
        query = self.base
        for layer in self._layers:
            query = "SELECT *, " + ", ".join(f"{sql} AS {name}" for name, sql in layer) + f" FROM ({query})"  # noqa: S608
        return query


def cast(step: str, kind: str) -> str:
    """Return the SQL of a step as another type, null where its value is none of that type."""
    if kind in WHOLE:  # 13085.0 is a whole number, 3.5 is not, and neither is silently rounded
        return (
            f"CASE WHEN TRY_CAST({step} AS DOUBLE) = trunc(TRY_CAST({step} AS DOUBLE)) THEN "
            f"TRY_CAST({step} AS {kind}) END"
        )
    if kind == "DOUBLE":
        return f"CASE WHEN isfinite(TRY_CAST({step} AS DOUBLE)) THEN TRY_CAST({step} AS DOUBLE) END"
    return f"TRY_CAST({step} AS {kind})"


def article(kind: str) -> str:
    """Return what a value of an SQL type is called in a reason."""
    return {"BOOLEAN": "true or false", "DOUBLE": "a finite number", "VARCHAR": "a text"}.get(
        kind, "a whole number in range"
    )

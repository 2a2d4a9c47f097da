"""Turn a column's description into SQL.

Small steps in layers, each naming what can go wrong with it. Identifiers are quoted, every value of the
mapping is a bound parameter. A step that cannot be done yields null and a reason, so that a bad value
rejects its row under a name an operator understands instead of ending the import.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from angelia.contracts.core import TIMESTAMP, Column
from angelia.errors import InvalidInput
from angelia.importing.layers import FLOATS, TRANSFORMS, WHOLE, Layers, article, cast
from angelia.importing.mapping import (
    ColumnSpec,
    Condition,
    Input,
    Output,
    Timestamp,
    nearest_column,
    raw_text,
)
from angelia.importing.moments import moment

SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    TIMESTAMP: "TIMESTAMP",
}


@dataclass(frozen=True)
class Value:
    """A compiled column: its step, and (condition step, reason) for each way to be bad."""

    step: str
    problems: tuple[tuple[str, str], ...] = ()
    from_data_time: bool = False  # a moment of the data, which a shift moves
    days_before_ds: bool = False  # a number of days, to be counted back from ds


class Compiler:
    """Compiles the columns of one output over one base relation with known columns and types."""

    def __init__(
        self,
        output: Output,
        layers: Layers,
        columns: Mapping[str, tuple[str, str]],
        timezone: str,
        inputs: Mapping[str, Input],
    ) -> None:
        """Take the file columns and how the inputs' files are written.

        Columns are name -> (SQL expression, type).
        """
        self.output, self.layers, self.columns, self.timezone = output, layers, columns, timezone
        self.inputs = inputs
        self.used: dict[str, str] = {}  # file column -> step, in order of first use
        self.reads: dict[str, set[str]] = {}  # target -> file columns it was made from
        self._targets: dict[str, Value] = {}
        self._open: list[str] = []
        self.hash_parts: dict[str, list[str]] = {}  # target -> steps

    def raw(self, name: str) -> str:
        """Return the step of a file column.

        Raises:
            InvalidInput: no such column; the nearest is offered.
        """
        if name not in self.columns:
            if alike := [c for c in self.columns if c.lower().startswith(f"{name} (column ".lower())]:
                says = f"{self.output.dataset}: the file has {len(alike)} columns named {name!r}"
                raise InvalidInput(says, fix=f"write {' or '.join(map(repr, alike))}")
            prefixes = tuple(f"{join.input}." for join in self.output.join)
            owner = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
            columns = [
                column
                for column in self.columns
                if (column.startswith(owner) if owner else not column.startswith(prefixes))
            ]
            raise InvalidInput(
                f"{self.output.dataset}: the file has no column {name!r}", fix=nearest_column(name, columns)
            )
        if name not in self.used:
            self.used[name] = self.layers.add(self.columns[name][0])
        for target in self._open:
            self.reads.setdefault(target, set()).add(name)
        return self.used[name]

    def target(self, name: str) -> Value:
        """Compile a column of the dataset (once)."""
        if name not in self._targets:
            self._open.append(name)
            spec = self.output.columns[name]
            self._targets[name] = (
                self._hash(name, spec.hash_id)
                if spec.hash_id
                else self._column(name, spec, self.output.contract[name])
            )
            self._open.pop()
        for target in self._open:
            self.reads.setdefault(target, set()).update(self.reads.get(name, ()))
        return self._targets[name]

    def condition(self, condition: Condition) -> str:
        """Return a step that is true where a condition holds, never null."""
        layers, raw = self.layers, self.raw(condition.column)
        text = f"CAST({raw} AS VARCHAR)"
        value, numeric = condition.value, raw
        if condition.op in ("is_null", "not_null"):
            return layers.add(f"{raw} IS {'' if condition.op == 'is_null' else 'NOT '}NULL", [raw])
        if condition.op in ("in", "not_in"):
            assert isinstance(value, list)
            sql = f"coalesce({text} IN ({', '.join(layers.bind(raw_text(item)) for item in value)}), false)"
        elif condition.op in ("eq", "ne"):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            numeric = self._number(condition.column, raw)
            left = f"TRY_CAST({numeric} AS DOUBLE)" if number else text
            sql = f"coalesce({left} = {layers.bind(float(value) if number else raw_text(value))}, false)"  # type: ignore[arg-type]
        elif condition.op in ("lt", "le", "gt", "ge"):
            sign = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}[condition.op]
            numeric = self._number(condition.column, raw)
            sql = f"coalesce(TRY_CAST({numeric} AS DOUBLE) {sign} {layers.bind(float(value))}, false)"  # type: ignore[arg-type]
        else:
            function = "starts_with" if condition.op.endswith("starts_with") else "regexp_matches"
            sql = f"coalesce({function}({text}, {layers.bind(raw_text(value))}), false)"
        negated = condition.op == "ne" or condition.op.startswith("not_")
        return layers.add(f"NOT {sql}" if negated else sql, [raw, numeric])

    # ---- one column

    def _resolve(self, name: str) -> str:
        """Return the text step of a name in a template.

        A mapped column if there is one (and it is not being made), else a file column.
        """
        is_target = name in self.output.columns and name not in self._open
        step = self.target(name).step if is_target else self.layers.real_id(self._open[-1], self.raw(name))
        if not is_target:
            self._refuse_fractions(name, "write it as a whole number or as text in the file")
        return self.layers.add(f"CAST({step} AS VARCHAR)", [step])

    def _refuse_fractions(self, name: str, fix: str) -> None:
        """Refuse an id of numbers with a fraction.

        Raises:
            InvalidInput: as said. Writers make such a column of whole numbers as soon as one is missing,
                and person 17 of the other files would be 17.0 here.
        """
        target = self._open[-1]
        column = self.output.contract[target]
        if column.personal and column.type == pa.string() and self.columns[name][1] in FLOATS:
            at = list(self.columns).index(name) + 1
            raise InvalidInput(
                f"{self.output.dataset}.{target}: column {at} holds numbers with a fraction, so 17 would be "
                "the id 17.0",
                fix=fix,
            )

    def _template(self, template: str) -> str:
        parts, uses = [], []
        for text, name, _, _ in string.Formatter().parse(template):
            if text:
                parts.append(self.layers.bind(text))
            if name is not None:
                uses.append(self._resolve(name))
                parts.append(uses[-1])
        return self.layers.add(" || ".join(parts) if parts else self.layers.bind(""), uses)

    def _hash(self, name: str, parts: Sequence[str]) -> Value:
        steps = [self._template(part) if "{" in part else self._resolve(part) for part in parts]
        # An id that is itself a hash has no value yet: it is missing where one of its own parts is.
        hashed = {part: self._targets[part].problems[0][0] for part in parts if part in self.hash_parts}
        tests = [hashed.get(part, f"{step} IS NULL") for part, step in zip(parts, steps, strict=True)]
        missing = self.layers.add(" OR ".join(tests), [*steps, *hashed.values()])
        self.hash_parts[name] = steps
        return Value(
            self.layers.add("CAST(NULL AS VARCHAR)"), ((missing, f"{name}: a part of its hash is missing"),)
        )

    def _source(self, name: str, spec: ColumnSpec) -> tuple[str, str]:
        """Return the step and SQL type of a column's source."""
        layers = self.layers
        if spec.from_ is not None:
            step = layers.real_id(name, self.raw(spec.from_))
            if not (spec.type_ or spec.map_):
                self._refuse_fractions(spec.from_, "say `type: int`, or `type: string` to keep it so")
            return step, self.columns[spec.from_][1]
        if spec.template is not None:
            return self._template(spec.template), "VARCHAR"
        if spec.product is not None:
            factors = [self._number(factor, self.raw(factor)) for factor in spec.product]
            return layers.add(
                " * ".join(f"TRY_CAST({factor} AS DOUBLE)" for factor in factors), factors
            ), "DOUBLE"
        if isinstance(spec.constant, list):
            raise InvalidInput(f"{self.output.dataset}.{name}: a list of constants belongs to a list column")
        return layers.add(f"CAST({layers.bind(raw_text(spec.constant))} AS VARCHAR)"), "VARCHAR"

    def _column(self, name: str, spec: ColumnSpec, column: Column) -> Value:
        if pa.types.is_list(column.type):
            return self._list(name, spec)
        if spec.list_ is not None:
            raise InvalidInput(f"{self.output.dataset}.{name}: holds one value, not a list")
        step, kind = self._source(name, spec)
        problems: list[tuple[str, str]] = []
        step = self._prepare(name, spec, step, kind, problems, self._is_number(name, spec, column))
        days_before = bool(spec.timestamp and spec.timestamp.unit == "days_before_ds")
        if column.type == TIMESTAMP:
            rule = spec.timestamp or Timestamp()
            kind = kind if not self._rewrites(spec) else "VARCHAR"
            formats = rule.date_format
            if spec.from_ is not None and rule.unit == "iso" and not formats:
                formats = self._dialect(spec.from_).date_format
            made = moment(self.layers, step, kind, rule, self.timezone, formats)
            if made.unknown_zone:
                problems.append((made.unknown_zone, f"{name}: unknown zone"))
            unit = "its date format" if formats else rule.unit
            self._failed(problems, step, made.step, f"{name}: no moment in {unit}")
            step = made.step
        else:
            if spec.timestamp:
                raise InvalidInput(
                    f"{self.output.dataset}.{name}: is not a moment, so it takes no timestamp rule"
                )
            changed = self.layers.add(cast(step, SQL_TYPES[column.type]), [step])
            self._failed(problems, step, changed, f"{name}: not {article(SQL_TYPES[column.type])}")
            step = changed
        if spec.default is not None:
            if column.type == TIMESTAMP:
                raise InvalidInput(f"{self.output.dataset}.{name}: a moment takes no default")
            fallback = f"CAST({self.layers.bind(raw_text(spec.default))} AS {SQL_TYPES[column.type]})"
            step = self.layers.add(f"coalesce({step}, {fallback})", [step])
        # A constant moment (a consent recorded today) is not the data's time; all others move with a shift.
        return Value(
            step,
            tuple(problems),
            column.type == TIMESTAMP and not days_before and spec.constant is None,
            days_before,
        )

    def _dialect(self, name: str) -> Input:
        """Return how the file of a column is written."""
        for join in self.output.join:
            if name.startswith(f"{join.input}."):
                return self.inputs[join.input]
        assert self.output.input is not None
        return self.inputs[self.output.input]

    def _number(self, name: str, step: str) -> str:
        """Return a step of a column's text with a decimal point.

        The file may have commas: `1.234,5`. Null where it is no such number: `1.5` may be fifteen.
        """
        if self._dialect(name).decimal == "." or self.columns[name][1] != "VARCHAR":
            return step
        text = f"trim(CAST({step} AS VARCHAR))"
        return self.layers.add(
            f"CASE WHEN regexp_full_match({text}, {self.layers.bind(_DECIMAL_COMMA)}) "
            f"THEN replace(replace({text}, '.', ''), ',', '.') END",
            [step],
        )

    @staticmethod
    def _is_number(name: str, spec: ColumnSpec, column: Column) -> bool:
        """Return whether a column's text is read as a number."""
        unit = spec.timestamp.unit if spec.timestamp else "iso"
        kind = SQL_TYPES.get(column.type)
        return (
            kind in (*WHOLE, "DOUBLE")
            or spec.scale is not None
            or (column.type == TIMESTAMP and unit != "iso")
        )

    @staticmethod
    def _rewrites(spec: ColumnSpec) -> bool:
        return bool(spec.type_ or spec.split or spec.transform or spec.map_ or spec.scale)

    def _prepare(
        self,
        name: str,
        spec: ColumnSpec,
        step: str,
        kind: str,
        problems: list[tuple[str, str]],
        is_number: bool = False,
    ) -> str:
        """Apply when, type, split, transforms, map and scale, in this order.

        A number of the file, not of the map, may have a decimal comma.
        """
        layers = self.layers

        def number(step: str) -> str:
            if spec.from_ is None:
                return step
            changed = self._number(spec.from_, step)
            if changed != step:
                self._failed(problems, step, changed, f"{name}: not a number with a decimal comma")
            return changed

        if spec.when:
            holds = self.condition(spec.when)
            step = layers.add(f"CASE WHEN {holds} THEN {step} END", [holds, step])
        if kind == "VARCHAR":  # an empty cell is a missing value, in Parquet as in CSV
            step = layers.add(f"nullif({step}, '')", [step])
        if spec.type_:
            step = number(step) if spec.type_ in ("int", "float") else step
            target = {"string": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}[spec.type_]
            changed = layers.add(cast(step, target), [step])
            self._failed(problems, step, changed, f"{name}: not {article(target)}")
            step = changed
        if spec.split:
            part = (
                f"nullif(trim(split_part(CAST({step} AS VARCHAR), {layers.bind(spec.split.by)}, "
                f"{int(spec.split.part)})), '')"
            )
            step = layers.add(part, [step])
        for transform in spec.transform:
            step = layers.add(TRANSFORMS[transform].format(f"CAST({step} AS VARCHAR)"), [step])
        if spec.map_ is not None:
            step = self._map(name, spec, step, problems)
        # A column with a type had its comma read above, and what a map gives is no cell of the file.
        elif is_number and not spec.type_:
            step = number(step)
        if spec.scale is not None:
            changed = layers.add(f"TRY_CAST({step} AS DOUBLE) * {layers.bind(spec.scale)}", [step])
            self._failed(problems, step, changed, f"{name}: not a number")
            step = changed
        return step

    def _map(self, name: str, spec: ColumnSpec, step: str, problems: list[tuple[str, str]]) -> str:
        layers = self.layers
        text = layers.add(f"CAST({step} AS VARCHAR)", [step])
        assert spec.map_ is not None
        keys = list(spec.map_)
        values = [None if value is None else raw_text(value) for value in spec.map_.values()]
        position = layers.add(f"list_position(CAST({layers.bind(keys)} AS VARCHAR[]), {text})", [text])
        if isinstance(spec.unmapped, dict):
            other = f"CASE WHEN {text} IS NOT NULL THEN {layers.bind(raw_text(spec.unmapped['value']))} END"
        else:
            other = text if spec.unmapped == "keep" else "NULL"
        mapped = f"CAST({layers.bind(values)} AS VARCHAR[])[{position}]"
        step = layers.add(
            f"CASE WHEN coalesce({position}, 0) > 0 THEN {mapped} ELSE {other} END", [text, position]
        )
        if spec.unmapped == "reject":
            problems.append(
                (
                    layers.add(f"{text} IS NOT NULL AND coalesce({position}, 0) = 0", [text, position]),
                    f"{name}: value not in its map",
                )
            )
        return step

    def _list(self, name: str, spec: ColumnSpec) -> Value:
        layers = self.layers
        if isinstance(spec.constant, list):
            return Value(layers.add(f"CAST({layers.bind(spec.constant)} AS VARCHAR[])"))
        if spec.list_ is None:
            raise InvalidInput(
                f"{self.output.dataset}.{name}: is a list", fix="give `list:` with one entry per element"
            )
        problems: list[tuple[str, str]] = []
        steps = []
        for element in spec.list_:
            if element.timestamp or element.list_ or element.hash_id:
                raise InvalidInput(f"{self.output.dataset}.{name}: an element of a list is a text")
            step, kind = self._source(name, element)
            step = self._prepare(name, element, step, kind, problems)
            if element.default is not None:
                step = layers.add(
                    f"coalesce(CAST({step} AS VARCHAR), {layers.bind(raw_text(element.default))})", [step]
                )
            steps.append(step)
        elements = ", ".join(f"CAST({step} AS VARCHAR)" for step in steps)
        return Value(
            layers.add(f"list_filter([{elements}], lambda element: element IS NOT NULL)", steps),
            tuple(problems),
        )

    def _failed(self, problems: list[tuple[str, str]], before: str, after: str, reason: str) -> None:
        problems.append(
            (self.layers.add(f"{before} IS NOT NULL AND {after} IS NULL", [before, after]), reason)
        )


_DECIMAL_COMMA = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d*)?"

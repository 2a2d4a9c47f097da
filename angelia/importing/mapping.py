"""The mapping document: which file columns become which contract columns, and how. Reference: docs/IMPORT.md.

Everything in it is data: names are quoted and values bound when SQL is made from it, and unknown keys are
    refused with the nearest one.
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from angelia.contracts import CONTRACTS, Dataset
from angelia.contracts.core import TIMESTAMP
from angelia.errors import InvalidInput
from angelia.plain_yaml import PlainLoader

IMPORTABLE = (
    "user_profiles",
    "user_endpoints",
    "user_preferences",
    "user_events",
    "push_history",
    "push_receipts",
    "suppressions",
)
SNAPSHOTS = ("user_profiles", "user_endpoints", "user_preferences")
# dataset -> column whose UTC day is the partition, unless the mapping says otherwise
DAY_OF = {"user_events": "event_ts", "push_history": "sent_ts", "push_receipts": "sent_ts"}

Scalar = bool | int | float | str


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what was probably meant."""
    choices = list(known)
    found = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else f"known: {', '.join(choices)}"


def raw_text(value: object) -> str:
    """Return a YAML scalar as the text DuckDB shows for the same raw value (`true`, `1`, `full_active`)."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text_keys(value: object) -> object:
    return {raw_text(key): item for key, item in value.items()} if isinstance(value, dict) else value


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Condition(_Document):
    """A comparison of one file column with given values; a null is different from every value."""

    column: str
    op: Literal[
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "in",
        "not_in",
        "is_null",
        "not_null",
        "starts_with",
        "not_starts_with",
        "matches",
        "not_matches",
    ]
    value: Scalar | list[Scalar] | None = None

    @model_validator(mode="after")
    def _value_fits(self) -> Condition:
        if self.op in ("is_null", "not_null"):
            if self.value is not None:
                raise ValueError(f"{self.op} takes no value")
        elif self.op in ("in", "not_in"):
            if not isinstance(self.value, list) or not self.value:
                raise ValueError(f"{self.op} takes a list of values")
        elif self.value is None or isinstance(self.value, list):
            raise ValueError(f"{self.op} takes one value")
        elif self.op in ("lt", "le", "gt", "ge") and (isinstance(self.value, str | bool)):
            raise ValueError(f"{self.op} compares numbers")
        return self


class Filter(Condition):
    """Rows to keep; the others are counted under `reason`, and are no rejects."""

    reason: str = Field("filtered", pattern=r"^[^\x00-\x1f]{1,80}$")


class Timestamp(_Document):
    """How a moment is written in the file; `days_before_ds` is a number of days that had passed at the end of
    the import.
    """

    unit: Literal["s", "ms", "us", "iso", "days_before_ds"] = "iso"
    timezone: str | None = None


class Split(_Document):
    """One part of a separated text; the first is 1."""

    by: str = Field(min_length=1, max_length=8)
    part: int = Field(1, ge=1, le=1000)


class ColumnSpec(_Document):
    """Where a contract column's value comes from (exactly one source), and what is done to it, in the order
    of the fields.
    """

    from_: str | None = Field(None, alias="from")
    constant: Scalar | list[str] | None = None
    template: str | None = None
    product: list[str] | None = Field(None, min_length=2)
    list_: list[ColumnSpec] | None = Field(None, alias="list", min_length=1)
    hash_id: list[str] | None = Field(None, min_length=3)
    type_: Literal["string", "int", "float", "bool"] | None = Field(None, alias="type")
    split: Split | None = None
    transform: list[Literal["trim", "lower", "upper", "slug"]] = []
    map_: Annotated[dict[str, Scalar | None] | None, BeforeValidator(_text_keys)] = Field(None, alias="map")
    unmapped: Literal["reject", "keep", "null"] | dict[Literal["value"], Scalar] = "reject"
    scale: float | None = None
    timestamp: Timestamp | None = None
    when: Condition | None = None
    default: Scalar | None = None
    invalid: Literal["reject", "null"] = "reject"

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"from": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> ColumnSpec:
        sources = {
            "from": self.from_,
            "constant": self.constant,
            "template": self.template,
            "product": self.product,
            "list": self.list_,
            "hash_id": self.hash_id,
        }
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(sources)}; given: {', '.join(given) or 'none'}")
        if self.template is not None:
            template_names(self.template)
        return self


def template_names(template: str) -> list[str]:
    """Return the names a template uses.

    Raises:
        ValueError: it is malformed, or uses conversions (plain `{name}` only).
    """
    names = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name or spec or conversion:
            raise ValueError(f"template {template!r}: only plain {{column}} names are replaced")
        names.append(name)
    return names


class Join(_Document):
    """Columns of another input, found by equal values; they are named `input.column`. The first match
    counts."""

    input: str
    keys: dict[str, str] = Field(min_length=1)


class DayOf(_Document):
    """Partition by the UTC day of a target column, moved by some days (receipts: the plan day before)."""

    day_of: str
    minus_days: int = Field(0, ge=0, le=14)


class Output(_Document):
    """One dataset made from one input; several outputs may fill the same dataset."""

    dataset: str
    input: str | None = None
    empty: bool = False
    join: list[Join] = []
    filter: list[Filter] = []
    distinct: bool = False
    partition: Literal["snapshot"] | DayOf | None = None
    columns: dict[str, ColumnSpec] = {}

    @property
    def contract(self) -> Dataset:
        """Contract of the dataset."""
        return CONTRACTS[self.dataset]

    @property
    def day_of(self) -> DayOf | None:
        """Rule that gives each row's partition; None = the whole output is one snapshot (or a log)."""
        if isinstance(self.partition, DayOf):
            return self.partition
        if self.partition == "snapshot" or self.dataset not in DAY_OF:
            return None
        return DayOf(day_of=DAY_OF[self.dataset], minus_days=0)

    @model_validator(mode="after")
    def _fits_contract(self) -> Output:
        if self.dataset not in IMPORTABLE:
            raise ValueError(
                f"dataset {self.dataset!r} cannot be imported; {nearest(self.dataset, IMPORTABLE)}"
            )
        if self.empty:
            if self.columns or self.input or self.filter or self.join:
                raise ValueError("an empty output has no input, filter or columns")
            if self.contract.min_rows:
                raise ValueError(
                    f"{self.dataset} cannot be empty: its contract asks for {self.contract.min_rows} rows"
                )
            if self.dataset not in SNAPSHOTS:
                raise ValueError(f"{self.dataset} is no snapshot; leave the output out instead")
            return self
        if self.input is None:
            raise ValueError("names no input")
        for name in self.columns:
            if name not in self.contract:
                raise ValueError(
                    f"{self.dataset} has no column {name!r}; {nearest(name, self.contract.names)}"
                )
        missing = [c.name for c in self.contract.columns if not c.nullable and c.name not in self.columns]
        if missing:
            raise ValueError(f"{self.dataset} needs a value for {', '.join(missing)}")
        rule = self.day_of
        if rule and (rule.day_of not in self.contract or self.contract[rule.day_of].type != TIMESTAMP):
            raise ValueError(f"day_of {rule.day_of!r} is no timestamp of {self.dataset}")
        if rule and rule.day_of not in self.columns:
            raise ValueError(f"{self.dataset} is partitioned by the day of {rule.day_of}, which has no value")
        if self.dataset in ("user_events", "push_history") and (rule is None or rule.minus_days):
            raise ValueError(f"{self.dataset} is partitioned by the day it happened")
        for name, spec in self.columns.items():
            if spec.hash_id is not None and name not in ("message_id", "dispatch_id"):
                raise ValueError(f"{name}: hash_id makes message_id and dispatch_id only")
            if name == "dispatch_id" and spec.hash_id is not None and len(spec.hash_id) != 3:
                raise ValueError("dispatch_id: hash_id takes message_id, channel, address")
        return self


class Input(_Document):
    """Files by a pattern on their names, and how a CSV is written."""

    match: str = Field(min_length=1)
    delimiter: str = Field(",", min_length=1, max_length=4)
    null_values: list[str] = Field([""], min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"match": value} if isinstance(value, str) else value


class Mapping(_Document):
    """A whole mapping file."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    description: str = ""
    timezone: str = "UTC"
    shift: Literal["none", "to_ds"] | int = "none"
    inputs: dict[str, Input] = Field(min_length=1)
    outputs: list[Output] = Field(min_length=1)

    @model_validator(mode="after")
    def _inputs_known(self) -> Mapping:
        for output in self.outputs:
            for name in filter(None, [output.input, *(join.input for join in output.join)]):
                if name not in self.inputs:
                    raise ValueError(
                        f"output {output.dataset}: no input {name!r}; {nearest(name, self.inputs)}"
                    )
        emptied = {output.dataset for output in self.outputs if output.empty}
        for output in self.outputs:
            if output.dataset in emptied and not output.empty:
                raise ValueError(f"{output.dataset} is both empty and filled")
        if isinstance(self.shift, int) and abs(self.shift) > 36_600:
            raise ValueError("shift moves by at most 36600 days")
        zones = [
            self.timezone,
            *(
                spec.timestamp.timezone
                for out in self.outputs
                for spec in out.columns.values()
                if spec.timestamp
            ),
        ]
        import zoneinfo

        for zone in filter(None, zones):
            if zone not in zoneinfo.available_timezones():
                raise ValueError(f"{zone!r} is no IANA timezone")
        return self


class _Strict(PlainLoader):
    """YAML that refuses a key given twice, of which the first would silently be lost, and aliases."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def _explain(error: ValidationError) -> str:
    """Return the first problem of a document as one line, with where it stands and what was probably
    meant."""
    first = error.errors()[0]
    # The names of the union's branches mean nothing to the author; keep keys and list positions that occur in
    # the document.
    where = ".".join(
        str(part)
        for part in first["loc"]
        if not str(part).startswith(("function-", "dict[", "list[", "literal["))
    )
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        depth: dict[str, type[BaseModel]] = {
            "columns": ColumnSpec,
            "outputs": Output,
            "inputs": Input,
            "timestamp": Timestamp,
            "filter": Filter,
            "join": Join,
        }
        owner: type[BaseModel] = Mapping
        for part in first["loc"][:-1]:
            owner = depth.get(str(part), owner)
        known = [field.alias or name for name, field in owner.model_fields.items()]
        return f"{where}: unknown key; {nearest(key, known)}"
    return f"{where}: {message}" if where else message


def load_mapping(path: Path) -> Mapping:
    """Read and validate a mapping file.

    Raises:
        InvalidInput: unreadable, no YAML, or against the reference; the first problem, where it stands, and
            what was probably meant.
    """
    try:
        raw = yaml.load(path.read_text("utf-8"), Loader=_Strict)
    except OSError as error:
        raise InvalidInput(f"cannot read the mapping {path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path.name} is no UTF-8 text") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that is none
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        other = "no YAML" if isinstance(error, yaml.YAMLError) else "a date or number in it is none"
        raise InvalidInput(f"{path.name}{line}: {getattr(error, 'problem', None) or other}") from None
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path.name} holds no mapping document", fix="see docs/IMPORT.md")
    try:
        return Mapping.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(f"{path.name}: {_explain(error)}") from None

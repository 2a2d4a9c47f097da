"""The mapping document: which file columns become which contract columns.

Reference: docs/IMPORT.md. Everything in it is data: names are quoted and values bound when SQL is made from
it.
"""

from __future__ import annotations

import codecs
import difflib
import re
import string
import zoneinfo
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from angelia.contracts import CONTRACTS, Dataset
from angelia.contracts.core import TIMESTAMP
from angelia.importing.kafka.source import Source, check_outputs, with_input

IMPORTABLE = (
    "user_profiles",
    "user_endpoints",
    "user_preferences",
    "user_events",
    "push_history",
    "push_receipts",
    "suppressions",
    "experiment_assignments",
    "external_ids",
)
SNAPSHOTS = ("user_profiles", "user_endpoints", "user_preferences")
# dataset -> column whose UTC day is the partition, unless the mapping says otherwise
DAY_OF = {
    "user_events": "event_ts",
    "push_history": "sent_ts",
    "push_receipts": "sent_ts",
    "experiment_assignments": "assigned_ts",
}

FILE_COLUMNS = ("file.name", "file.row")  # of every file

Scalar = bool | int | float | str


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what was probably meant."""
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"


def nearest_column(name: str, columns: Iterable[str]) -> str:
    """Return a hint at the file's column that was probably meant, by its number.

    A file without a header has addresses where the names should be.
    """
    names = [column for column in columns if column not in FILE_COLUMNS]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return (
        f"column {names.index(near[0]) + 1} of {len(names)} comes nearest, look at its name"
        if near
        else f"it has {len(names)}, none of a name like it: "
        + (
            "is there a header line, and is that its `delimiter:`?"
            if len(names) == 1
            else "is there a header line?"
        )
    )


def raw_text(value: object) -> str:
    """Return a YAML scalar as DuckDB shows the same raw value: `true`, `1`, `full_active`."""
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


def _date_formats(value: object) -> object:
    formats = [value] if isinstance(value, str) else value
    if isinstance(formats, list):
        for text in formats:
            letters = re.findall(r"%-?(.?)", text) if isinstance(text, str) else []
            if not letters or not set(letters) <= set("aAbBdfHIjmMpSyYzZ%"):
                raise ValueError("is no date format; for example %d.%m.%Y %H:%M:%S")
        if len({"%z" in text or "%Z" in text for text in formats}) > 1:
            raise ValueError("either every date format carries a zone, or none")
    return formats


DateFormats = Annotated[list[str], BeforeValidator(_date_formats), Field(min_length=1, max_length=9)]


class Timestamp(_Document):
    """How a moment is written in the file.

    `days_before_ds` is a number of days that had passed at the end of the import, `excel_days` what a
    spreadsheet shows of a date without a format.
    """

    unit: Literal["s", "ms", "us", "iso", "days_before_ds", "excel_days"] = "iso"
    timezone: str | None = None
    date_format: DateFormats | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Timestamp:
        if self.date_format and self.unit != "iso":
            raise ValueError("give unit or date_format, not both")
        return self


class Split(_Document):
    """One part of a separated text; the first is 1."""

    by: str = Field(min_length=1, max_length=8)
    part: int = Field(1, ge=1, le=1000)


class ColumnSpec(_Document):
    """Where a contract column's value comes from, and what is done to it.

    Exactly one source, then steps in the order of the fields.
    """

    from_: str | None = Field(None, alias="from")
    constant: Scalar | list[str] | None = None
    template: str | None = None
    product: list[str] | None = Field(None, min_length=2)
    list_: list[ColumnSpec] | None = Field(None, alias="list", min_length=1)
    hash_id: list[str] | None = Field(None, min_length=3)
    type_: Literal["string", "int", "float", "bool"] | None = Field(None, alias="type")
    split: Split | None = None
    transform: list[Literal["trim", "lower", "upper", "slug", "hash"]] = []
    map_: Annotated[dict[str, Scalar | None] | None, BeforeValidator(_text_keys)] = Field(None, alias="map")
    unmapped: Literal["reject", "keep", "null"] | dict[Literal["value"], Scalar] = "reject"
    scale: float | None = None
    timestamp: Timestamp | None = None
    when: Condition | None = None
    default: Scalar | None = None
    invalid: Literal["reject", "null"] | None = None  # None: as Output.invalid says

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
            raise ValueError("in a template, only plain {column} names are replaced")
        names.append(name)
    return names


class Join(_Document):
    """Columns of another input, found by equal values.

    They are named `input.column`. The first match counts.
    """

    input: str
    keys: dict[str, str] = Field(min_length=1)


class DayOf(_Document):
    """Partition by the UTC day of a target column, moved by some days.

    Receipts belong to the plan day before.
    """

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

    def invalid(self, name: str) -> str:
        """Return what becomes of a value that is none: `reject` the row, or `null`.

        A person is not lost for an attribute, so for those of profiles null is the default; a moment that
        cannot be read still tells of a source that cannot be trusted.
        """
        column = self.contract[name]
        is_attribute = self.dataset == "user_profiles" and column.nullable and column.type != TIMESTAMP
        return self.columns[name].invalid or ("null" if is_attribute else "reject")

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
            # An empty snapshot says that nobody has any; an empty day would say that nothing happened.
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
        if self.dataset in DAY_OF and self.dataset != "push_receipts" and (rule is None or rule.minus_days):
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
    encoding: str = "utf-8"
    delimiter: str = Field(",", min_length=1, max_length=4)
    quote: str = Field('"', max_length=1)
    escape: str = Field('"', min_length=1, max_length=1)
    null_values: list[str] = Field([""], min_length=1)
    decimal: Literal[".", ","] = "."
    date_format: DateFormats | None = None

    @property
    def codec(self) -> str:
        """The encoding's one name."""
        return codecs.lookup(self.encoding).name

    @property
    def is_utf8(self) -> bool:
        """Whether nothing has to be converted."""
        return self.codec in ("utf-8", "utf-8-sig", "ascii")

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except (LookupError, ValueError):
            raise ValueError("is no encoding; for example windows-1252, utf-16 or shift_jis") from None
        return value

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
    source: Source | None = None
    inputs: dict[str, Input] = Field(min_length=1)
    outputs: list[Output] = Field(min_length=1)

    _from_source = model_validator(mode="before")(with_input)

    @model_validator(mode="after")
    def _inputs_known(self) -> Mapping:
        for output in self.outputs:
            for name in filter(None, [output.input, *(join.input for join in output.join)]):
                if name not in self.inputs:
                    raise ValueError(
                        f"output {output.dataset}: no input {name!r}; {nearest(name, self.inputs)}"
                    )
        if self.source is not None:
            check_outputs(self.outputs, self.shift)
        emptied = {output.dataset for output in self.outputs if output.empty}
        for output in self.outputs:
            if output.dataset in emptied and not output.empty:
                raise ValueError(f"{output.dataset} is both empty and filled")
        if isinstance(self.shift, int) and abs(self.shift) > 36_600:
            raise ValueError("shift moves by at most 36600 days")
        stamps = [spec.timestamp for out in self.outputs for spec in out.columns.values() if spec.timestamp]
        for zone in filter(None, [self.timezone, *(stamp.timezone for stamp in stamps)]):
            if zone not in zoneinfo.available_timezones():
                raise ValueError(f"{zone!r} is not an IANA timezone")
        return self

"""A column's description as SQL: each way to be bad has its reason, and values stay data."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from angelia.errors import InvalidInput
from angelia.importing.expressions import Compiler
from angelia.importing.layers import Layers
from angelia.importing.mapping import Condition, Input, Output
from tests.unit.importing.small_files import PROFILES


def compiler(cells: dict[str, Any], decimal: str = ".", **columns: Any) -> Compiler:
    """Return a compiler over one row of texts."""
    base = ", ".join(f"CAST($c{k} AS VARCHAR) AS f{k}" for k in range(len(cells)))
    layers = Layers(f"SELECT {base}")
    layers.params.update({f"c{k}": value for k, value in enumerate(cells.values())})
    output = Output.model_validate(PROFILES | {"columns": {**PROFILES["columns"], **columns}})
    names = {name: (f"f{k}", "VARCHAR") for k, name in enumerate(cells)}
    return Compiler(output, layers, names, "UTC", {"people": Input(match="people*", decimal=decimal)})


def value_of(made: Compiler, name: str) -> tuple[Any, list[str]]:
    """Return a column's value, and the reasons that hold against it."""
    value = made.target(name)
    steps = ", ".join([value.step, *(condition for condition, _ in value.problems)])
    row = duckdb.execute(f"SELECT {steps} FROM ({made.layers.sql()})", made.layers.params).fetchall()[0]
    return row[0], [reason for (_, reason), holds in zip(value.problems, row[1:], strict=True) if holds]


@pytest.mark.parametrize(
    ("cell", "spec", "value", "reasons"),
    [
        ("1990", "born", 1990, []),
        ("", "born", None, []),
        ("199x", "born", None, ["birth_year: not a whole number in range"]),
        ("1990.5", "born", None, ["birth_year: not a whole number in range"]),
        ("90", {"from": "born", "scale": 2}, 180, []),
        ("x", {"from": "born", "scale": 2}, None, ["birth_year: not a number"]),
        ("a|1990", {"from": "born", "split": {"by": "|", "part": 2}}, 1990, []),
        ("a", {"from": "born", "split": {"by": "|", "part": 2}, "default": 1900}, 1900, []),
        ("old", {"from": "born", "map": {"old": 1950}}, 1950, []),
        ("young", {"from": "born", "map": {"old": 1950}}, None, ["birth_year: value not in its map"]),
        ("young", {"from": "born", "map": {"old": 1950}, "unmapped": "null"}, None, []),
        ("young", {"from": "born", "map": {"old": 1950}, "unmapped": {"value": 2000}}, 2000, []),
        ("7", {"product": ["born", "born"]}, 49, []),
        ("7", {"constant": 1999}, 1999, []),
        ("7", {"from": "born", "when": {"column": "born", "op": "gt", "value": 7}}, None, []),
        ("8", {"from": "born", "when": {"column": "born", "op": "gt", "value": 7}}, 8, []),
    ],
)
def test_a_number_is_read_by_its_steps_or_named(cell: str, spec: Any, value: Any, reasons: list[str]) -> None:
    assert value_of(compiler({"born": cell}, birth_year=spec), "birth_year") == (value, reasons)


@pytest.mark.parametrize(
    ("cell", "value"), [("1.234", 1234), ("1.234,0", 1234), ("1234,", 1234), ("1.5", None), ("1,5", None)]
)
def test_a_decimal_comma_is_of_the_file(cell: str, value: int | None) -> None:
    """`1.5` may be fifteen, so it is no number there."""
    read, reasons = value_of(compiler({"born": cell}, decimal=",", birth_year="born"), "birth_year")
    assert read == value
    assert bool(reasons) == (value is None)


@pytest.mark.parametrize(
    ("transform", "cell", "value"),
    [
        (["trim", "upper"], " de ", "DE"),
        (["slug"], "Größe: XL!", "gr_e_xl"),
        (["slug"], "!!", None),
        (["hash"], "a", "ca978112ca1bbdcafac231b39a23dc4d"),
    ],
)
def test_transforms_are_applied_in_their_order(transform: list[str], cell: str, value: str | None) -> None:
    spec = {"from": "c", "transform": transform}
    assert value_of(compiler({"c": cell}, country=spec), "country")[0] == value


def test_a_template_and_a_list_take_columns_apart_from_text() -> None:
    made = compiler({"id": "7'; --", "tags": "A B"}, user_id={"template": "p{id}"})
    assert value_of(made, "user_id") == ("p7'; --", [])
    assert made.reads["user_id"] == {"id"}
    assert value_of(made, "tags") == (["a_b", "imported"], [])
    assert "7'" not in made.layers.sql()
    assert value_of(compiler({"id": "7", "tags": ""}), "tags") == (["imported"], []), (
        "an empty cell is no element"
    )


@pytest.mark.parametrize(
    ("op", "value", "cell", "holds"),
    [
        ("eq", 1, "1.0", True),
        ("eq", "1", "1.0", False),
        ("ne", "a", None, True),
        ("lt", 2, "x", False),
        ("in", ["a", True], "true", True),
        ("not_in", ["a"], None, True),
        ("is_null", None, None, True),
        ("not_null", None, "a", True),
        ("starts_with", "a", "ab", True),
        ("not_matches", "^a", None, True),
    ],
)
def test_a_condition_is_never_null(op: str, value: Any, cell: str | None, holds: bool) -> None:
    made = compiler({"c": cell})
    step = made.condition(Condition.model_validate({"column": "c", "op": op, "value": value}))
    assert duckdb.execute(f"SELECT {step} FROM ({made.layers.sql()})", made.layers.params).fetchall() == [
        (holds,)
    ]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"birth_year": "borne"}, "the file has no column 'borne'"),
        ({"birth_year": {"list": ["born"]}}, "holds one value, not a list"),
        ({"birth_year": {"from": "born", "timestamp": {"unit": "s"}}}, "is not a moment"),
        ({"birth_year": {"constant": ["a"]}}, "a list of constants belongs to a list column"),
        ({"signup_ts": {"from": "born", "default": "2026-01-01"}}, "a moment takes no default"),
        ({"tags": "born"}, "is a list"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        compiler({"born": "1"}, **columns).target(next(iter(columns)))

"""A query grown in layers: values bound, each step once, types cast without rounding."""

from __future__ import annotations

import duckdb
import pytest

from angelia.importing.layers import Layers, cast


def test_a_step_stands_above_those_it_uses() -> None:
    layers = Layers("SELECT 2 AS n")
    placeholder = layers.bind("it's; --")
    double = layers.add("n * 2")
    text = layers.add(placeholder)
    more = layers.add(f"{double} + 1", [double])
    top = layers.add(f"{more} || {text}", [more, text])
    assert duckdb.execute(layers.sql(), layers.params).fetchall() == [(2, 4, "it's; --", 5, "5it's; --")]
    assert layers.sql().count("SELECT *") == 3, "steps that need nothing of each other share a layer"
    assert (double, top) == ("v0", "v3")


def test_values_travel_as_parameters() -> None:
    layers = Layers("SELECT 1 AS n")
    assert (layers.bind("secret"), layers.bind(3)) == ("$p0", "$p1")
    assert layers.params == {"p0": "secret", "p1": 3}
    assert "secret" not in layers.sql()


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        ("13085.0", "INTEGER", 13_085),
        ("3.5", "INTEGER", None),
        ("70000", "SMALLINT", None),
        ("x", "INTEGER", None),
        ("1e3", "DOUBLE", 1_000.0),
        ("inf", "DOUBLE", None),
        ("nan", "DOUBLE", None),
        ("true", "BOOLEAN", True),
        ("maybe", "BOOLEAN", None),
    ],
)
def test_a_value_of_another_type_is_null_and_never_rounded(value: str, kind: str, result: object) -> None:
    assert duckdb.execute(f"SELECT {cast('$v', kind)}", {"v": value}).fetchall() == [(result,)]

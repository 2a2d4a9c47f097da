"""The SQL text of a predicate: one expression, and nothing that a parser must not see."""

from __future__ import annotations

import pytest
from sqlglot import exp

from angelia.audience.language.sql_text import MAX_CHARS, MAX_DEPTH, read_sql
from angelia.errors import InvalidInput


def test_one_expression_is_read() -> None:
    assert isinstance(read_sql("a IN ('select', ';') AND b = 2 -- why"), exp.And)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" \n", "empty"),
        ("a = 'x" + chr(7) + "'", "a control character"),
        ("a = 1; b", "column 6: a semicolon"),
        ("a IN (SELECT 1)", "column 7: SELECT is not allowed"),
        ("drop table a", "column 1: DROP is not allowed"),
        ("a = 'x", "column 5: a quoted text does not end here"),
        ('a = "x', "column 5: a quoted text does not end here"),
        ("a = 1,", "column"),
        ("x" * (MAX_CHARS + 1), f"longer than {MAX_CHARS} characters"),
    ],
)
def test_what_is_no_condition_is_refused_at_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match="predicate at") as refused:
        read_sql(text)
    assert problem in refused.value.message


def test_depth_is_refused_before_it_reaches_the_parser() -> None:
    assert read_sql("(" * 20 + "a" + ")" * 20)
    many = MAX_DEPTH + 1
    for text, column in (("(" * many + "a" + ")" * many, many), ("NOT " * many + "a", 4 * MAX_DEPTH + 1)):
        with pytest.raises(InvalidInput, match=f"at column {column}: nested too deeply"):
            read_sql(text)

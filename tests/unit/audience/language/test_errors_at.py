"""Errors of a predicate point at the place: line, column, and a caret in an excerpt."""

from __future__ import annotations

import pytest

from angelia.audience.language.errors_at import error_at


def test_one_line_has_a_column_and_a_caret() -> None:
    error = error_at("gender = 3", 9, "gender is a text", "quote the value with '")
    assert error.one_line() == (
        "predicate at column 10: gender is a text [gender = ^3]; quote the value with '"
    )
    assert error.offset == 9


def test_of_several_lines_the_line_is_named() -> None:
    error = error_at("a = 1 AND\n  b = 2", 12, "no b")
    assert error.message == "predicate at line 2, column 3: no b [a = 1 AND ^b = 2]"


def test_a_long_text_is_cut_on_both_sides() -> None:
    text = "x" * 30 + "!" + "y" * 30
    assert error_at(text, 30, "here").message.endswith(f"[…{'x' * 24}^!{'y' * 23}…]")
    assert "…" not in error_at("x" * 24, 24, "end").message


@pytest.mark.parametrize(("offset", "at"), [(-5, 0), (99, 3)])
def test_a_place_outside_the_text_is_moved_to_its_edge(offset: int, at: int) -> None:
    assert error_at("abc", offset, "there").offset == at

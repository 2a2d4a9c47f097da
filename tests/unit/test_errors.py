"""Errors are one line with their fix, and show neither addresses nor quoted values."""

from __future__ import annotations

import pytest

from angelia.errors import AngeliaError, unquoted, without_addresses


def test_an_error_is_one_line_with_its_fix() -> None:
    error = AngeliaError("no column\n  'age'", fix="name it\nin the mapping")
    assert error.one_line() == "no column 'age'; name it in the mapping"
    assert AngeliaError("full").one_line() == "full"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to ann.lee@example.org: refused", "to …: refused"),
        ("cut short: ann@exa", "cut short: …"),
        ("call +49 (30) 123-456 now", "call … now"),
        ("token " + "a" * 65, "token …"),
        # A sha256, a commit's ref and a short number are no addresses.
        ("object " + "a" * 64, "object " + "a" * 64),
        ("user_days ds=2026-11-14@3", "user_days ds=2026-11-14@3"),
        ("+12345 rows", "+12345 rows"),
    ],
)
def test_addresses_become_dots_and_other_words_stay(text: str, shown: str) -> None:
    assert without_addresses(text) == shown


def test_quoted_values_become_dots_but_for_signs_and_names() -> None:
    text = """Could not convert 'ann lee' in "born"; expected ',' near '<end of line>'"""
    assert unquoted(text) == "Could not convert … in …; expected ',' near '<end of line>'"

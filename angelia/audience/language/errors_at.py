"""Predicate errors that point at the place: a line, the column, and an excerpt.

A caret stands before the offending token.
"""

from __future__ import annotations

from angelia.errors import InvalidInput


class PredicateError(InvalidInput):
    """A predicate that cannot be accepted; `offset` is the mistake's 0-based place."""

    def __init__(self, message: str, offset: int, *, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.offset = offset


def error_at(text: str, offset: int, problem: str, fix: str | None = None) -> PredicateError:
    """Return the error for `problem` at the 0-based `offset` of `text`."""
    offset = max(0, min(offset, len(text)))
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    where = f"column {column}" if "\n" not in text.strip() else f"line {line}, column {column}"
    before, after = text[max(0, offset - 24) : offset], text[offset : offset + 24]
    excerpt = ("…" if offset > 24 else "") + before + "^" + after + ("…" if offset + 24 < len(text) else "")
    return PredicateError(f"predicate at {where}: {problem} [{excerpt.strip()}]", offset, fix=fix)

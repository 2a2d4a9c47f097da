"""Read the SQL text of a predicate: limits, tokens and syntax, before names and types.

sqlglot parses far more than the predicate language. What its parser must never see (statements, deep nesting,
control characters) is refused here, with one line that points at the place.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokens import TokenType

from angelia.audience.language.errors_at import error_at
from angelia.errors import InvalidInput

MAX_CHARS = 100_000
MAX_DEPTH = 64
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_STATEMENTS = {
    "SELECT", "WITH", "FROM", "CREATE", "DROP", "INSERT", "UPDATE", "DELETE", "ALTER", "MERGE", "TRUNCATE",
    "GRANT", "REVOKE",
    "COPY", "ATTACH", "DETACH", "SET", "USE", "PRAGMA", "EXPLAIN", "DESCRIBE", "UNION", "EXECUTE", "CALL",
    "SHOW", "LOAD", "INSTALL", "COMMAND",
}  # fmt: skip


def read_sql(text: str) -> exp.Expression:
    """Return sqlglot's tree of exactly one expression, after refusing unsafe text."""
    if not text.strip():
        raise error_at(text, 0, "empty", "TRUE means everyone")
    if len(text) > MAX_CHARS:
        raise error_at(
            text, 0, f"longer than {MAX_CHARS} characters", "use an explicit list with in_list('name')"
        )
    if (control := next((i for i, c in enumerate(text) if ord(c) < 32 and c not in "\n\r\t"), -1)) >= 0:
        raise error_at(text, control, "a control character")
    _check_tokens(text)
    try:
        trees = sqlglot.parse(text, error_level=sqlglot.ErrorLevel.IMMEDIATE)
    except ParseError as error:
        raise _syntax_error(text, error) from None
    except RecursionError:
        raise error_at(text, 0, "nested too deeply", f"at most {MAX_DEPTH} levels") from None
    except SqlglotError as error:
        raise error_at(text, 0, " ".join(str(error).split())[:200]) from None
    if len(trees) != 1 or trees[0] is None:
        raise error_at(text, 0, "not one condition")
    return trees[0]


def _check_tokens(text: str) -> None:
    try:
        tokens = sqlglot.tokenize(text)
    except TokenError:
        quote = text.rfind("'") if text.count("'") % 2 else text.rfind('"')
        raise error_at(text, max(quote, 0), "a quoted text does not end here", "close it with '") from None
    depth, run = 0, 0
    for i, token in enumerate(tokens):
        kind = token.token_type
        is_call = i + 1 < len(tokens) and tokens[i + 1].token_type is TokenType.L_PAREN
        if kind is TokenType.SEMICOLON:
            raise error_at(text, token.start, "a semicolon is not allowed", "a predicate is one condition")
        if kind is not TokenType.STRING and token.text.upper() in _STATEMENTS | {"COMMAND"}:
            raise error_at(
                text,
                token.start,
                f"{token.text.upper()} is not allowed",
                "a predicate is one condition: no statement, no subquery",
            )
        if kind is TokenType.COMMAND and not is_call:
            raise error_at(text, token.start, f"{token.text!r} is not part of the predicate language")
        depth += (kind in _OPENING) - (kind in _CLOSING)
        run = run + 1 if kind in (TokenType.NOT, TokenType.DASH) else 0
        if depth > MAX_DEPTH or run > MAX_DEPTH:
            raise error_at(text, token.start, "nested too deeply", f"at most {MAX_DEPTH} levels")


def _syntax_error(text: str, error: ParseError) -> InvalidInput:
    first = error.errors[0] if error.errors else {}
    description, token = str(first.get("description", "")), str(first.get("highlight") or "")
    lines = text.splitlines(keepends=True)
    line, column = int(first.get("line") or 1), int(first.get("col") or 1)
    offset = sum(len(part) for part in lines[: line - 1]) + max(0, column - len(token))
    if description.startswith("Required keyword"):
        return error_at(text, offset + len(token), f"something is missing after {token!r}")
    if description.startswith("Expecting"):
        return error_at(
            text,
            offset + len(token),
            f"expected {description.removeprefix('Expecting').strip()!r} after {token!r}",
        )
    return error_at(text, offset, f"cannot make sense of {token!r} here")

"""Which hours of acceptance have messages that changed since they were exported.

A change of a message is marked in the same transaction, by a row of its own: a row that dispatchers shared
would make them wait for one another. New messages are not marked, since the newest hours are exported anyway.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from angelia.databases import writing
from angelia.intake.tables import changes

HOUR_MS = 3_600_000
_AT_ONCE = 500  # tokens a statement: below every database's limit of parameters


def mark(connection: Connection, ids: Iterable[str]) -> None:
    """Note that these messages changed, in the transaction that changes them."""
    numbers = {int(message[:12], 16) // HOUR_MS for message in ids}
    if numbers:
        rows = [
            {"token": secrets.token_hex(16), "accept_hour": hour_name(number)} for number in sorted(numbers)
        ]
        connection.execute(sa.insert(changes), rows)


def marked(connection: Connection) -> dict[str, list[str]]:
    """Return the tokens of each hour that changed."""
    tokens: dict[str, list[str]] = {}
    for token, hour in connection.execute(sa.select(changes.c.token, changes.c.accept_hour)):
        tokens.setdefault(hour, []).append(token)
    return tokens


def unmark(engine: Engine, tokens: list[str]) -> None:
    """Forget changes that are exported; those that came later stay."""
    for start in range(0, len(tokens), _AT_ONCE):
        with writing(engine) as connection:
            part = tokens[start : start + _AT_ONCE]
            connection.execute(sa.delete(changes).where(changes.c.token.in_(part)))


def hour_name(number: int) -> str:
    """Return the name of an hour, counted from 1970."""
    return datetime.fromtimestamp(number * 3_600, UTC).strftime("%Y-%m-%dT%H")


def hour_number(name: str) -> int:
    """Return an hour's number, counted from 1970."""
    return int(datetime.strptime(name, "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp()) // 3_600

"""What the routes about people share: keys, the person in the path, a lake that is down.

Reads and writes nothing. Surprise: a person's id is in the path of these routes alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Path as PathParameter
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from angelia.contracts.sources import ID
from angelia.errors import AngeliaError
from angelia.intake.bodies import read_body
from angelia.intake.database import Unavailable
from angelia.intake.errors import Refused, refused
from angelia.intake.keys import Key
from angelia.intake.message import RealId, refusal_of

SCOPE = "people"
KEY = (
    *("no_key", "not_in_scope", "not_found", "rate_limited"),
    *("database_unavailable", "lake_unavailable", "internal"),
)
# Patterns of names do not say in a schema that there are no others.
NO_OTHER: dict[str, Any] = {"additionalProperties": False}
# An id may hold a slash, which stands as it is in the path.
UserId = Annotated[str, PathParameter(pattern=ID, description="an id as the lake has it"), RealId]
M = TypeVar("M", bound=BaseModel)


class PeopleAccess(Protocol):
    """Who may ask, and how often; the application of all routes is one."""

    async def key(self, request: Request, scope: str) -> Key:
        """Return the key of a request, which must have the scope."""

    def within_rate(self, key: Key, number: int) -> None:
        """Take so many messages of a key's rate. Raises: Refused."""


async def spoken(people: PeopleAccess, request: Request, model: type[M], limit: int) -> M:
    """Return the body of a request whose key may write about people. Raises: Refused."""
    key = await people.key(request, SCOPE)
    body = await read_body(request, limit)
    try:
        wanted = model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Refused(refusal_of(first, set(model.model_fields))) from None
    people.within_rate(key, 1)
    return wanted


async def answered(function: Any, *arguments: Any) -> dict[str, Any]:
    """Return what a function on lake and database returns. Raises: Refused, Unavailable."""
    try:
        answer: dict[str, Any] = await run_in_threadpool(function, *arguments)
    except Unavailable:
        raise
    except (AngeliaError, OSError):
        reason = "the lake does not answer: nothing is acknowledged, send it again"
        raise refused("lake_unavailable", reason, retry_after_s=1) from None
    return answer

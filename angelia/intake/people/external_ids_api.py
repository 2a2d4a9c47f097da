"""A person's ids in other systems as routes of the intake's application.

Reads and writes by `external_ids.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from angelia.contracts.sources import ID, NAME
from angelia.intake.bodies import body_of
from angelia.intake.errors import documented
from angelia.intake.message import RealId, now
from angelia.intake.people.access import KEY, NO_OTHER, SCOPE, PeopleAccess, UserId, answered, spoken
from angelia.intake.people.external_ids import ExternalIds

MAX_IDS_BYTES = 65_536
MOST = 20  # of a namespace
ROUTE = "/v1/users/{user_id:path}/external-ids"
Namespace = Annotated[str, Field(pattern=NAME)]
OtherId = Annotated[str, Field(pattern=ID), RealId]


class ExternalIdsSaid(BaseModel):
    """A person's ids by system; a system that is not named stays as it was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    external_ids: dict[Namespace, Annotated[list[OtherId], Field(max_length=MOST)]] = Field(
        max_length=100, json_schema_extra=NO_OTHER
    )


class ExternalIdsView(BaseModel):
    """A person's ids by system."""

    external_ids: dict[str, list[str]]


def add_external_ids(app: FastAPI, people: PeopleAccess, known: ExternalIds) -> None:
    """Add the routes."""

    @app.get(
        ROUTE,
        operation_id="external_ids",
        response_model=ExternalIdsView,
        responses=documented(*KEY, "format"),
    )
    async def show_ids(request: Request, user_id: UserId) -> JSONResponse:
        """Show a person's ids in other systems."""
        people.within_rate(await people.key(request, SCOPE), 1)
        return JSONResponse(await answered(_view, known, user_id))

    @app.put(
        ROUTE,
        operation_id="put_external_ids",
        response_model=ExternalIdsView,
        responses=documented(*KEY, "format", "not_json", "too_large", "external_id_taken"),
        openapi_extra=body_of(ExternalIdsSaid),
    )
    async def keep_ids(request: Request, user_id: UserId) -> JSONResponse:
        """Keep a person's ids of the systems that are named; messages may name them from now on."""
        wanted = await spoken(people, request, ExternalIdsSaid, MAX_IDS_BYTES)
        return JSONResponse(await answered(_kept, known, user_id, wanted))


def _view(known: ExternalIds, user: str) -> dict[str, Any]:
    return {"external_ids": known.of(user)}


def _kept(known: ExternalIds, user: str, wanted: ExternalIdsSaid) -> dict[str, Any]:
    known.replace(user, wanted.external_ids, now())
    return _view(known, user)

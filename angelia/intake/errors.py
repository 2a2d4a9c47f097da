"""The API's answers to what it does not do: a stable code, the field, a reason.

Surprise: texts of foreign errors are never handed on, since they may quote what a client sent.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Match

from angelia.intake.message import Refusal

STATUS = {
    "not_json": 400,
    "no_key": 401,
    "not_in_scope": 403,
    "not_found": 404,
    "not_allowed": 405,
    "idempotency_conflict": 409,
    "not_cancellable": 409,
    "not_resendable": 409,
    "external_id_taken": 409,
    "too_large": 413,
    "rate_limited": 429,
    "busy": 429,
    "cool_down": 429,
    "too_many_codes": 429,
    "internal": 500,
    "database_unavailable": 503,
    "lake_unavailable": 503,
}
_OTHERWISE = 422  # the body or a parameter has another form


class ErrorBody(BaseModel):
    """Why something was not done: `code` stays the same from release to release."""

    code: str
    field: str
    reason: str


class ErrorDocument(BaseModel):
    """The body of every answer of 400 and above."""

    error: ErrorBody


class Refused(Exception):
    """An answer that ends a request."""

    def __init__(self, refusal: Refusal, retry_after_s: float | None = None) -> None:
        super().__init__(refusal.code)
        self.refusal, self.retry_after_s = refusal, retry_after_s


def refused(code: str, reason: str, field: str = "", retry_after_s: float | None = None) -> Refused:
    """Return the exception for a code."""
    return Refused(Refusal(code, field, reason), retry_after_s)


def answer_of(refusal: Refusal, retry_after_s: float | None = None) -> JSONResponse:
    """Return the answer that tells a client of a refusal."""
    status = STATUS.get(refusal.code, _OTHERWISE)
    headers = {}
    if retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": refusal.document()}, status, headers)


async def on_refused(_request: Request, error: Exception) -> JSONResponse:
    """Answer a `Refused`."""
    assert isinstance(error, Refused)
    return answer_of(error.refusal, error.retry_after_s)


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """Answer what the router refuses."""
    if getattr(error, "status_code", 404) == 405:
        answer = answer_of(Refusal("not_allowed", "", "this address does not know the method"))
        # The router names the methods of the first route only.
        known: set[str] = set()
        for route in request.app.routes:
            match, scope = route.matches(request.scope)
            # `ID:resend` would pass for an id.
            is_id = ":" not in "".join(map(str, scope.get("path_params", {}).values()))
            known |= set(getattr(route, "methods", ())) if match is not Match.NONE and is_id else set()
        answer.headers["allow"] = ", ".join(sorted(known))
        return answer
    return answer_of(Refusal("not_found", "", "there is nothing at this address"))


async def on_parameters(_request: Request, error: Exception) -> JSONResponse:
    """Answer a query parameter of another form."""
    first: dict[str, Any] = error.errors()[0]  # type: ignore[attr-defined]
    return answer_of(Refusal("invalid", str(first["loc"][-1])[:64], str(first["msg"])))


async def on_defect(_request: Request, _error: Exception) -> JSONResponse:
    """Answer a defect of ours."""
    return defect()


def defect() -> JSONResponse:
    """Return the answer to a request that met a defect of ours."""
    return answer_of(Refusal("internal", "", "a defect of the intake; whether it was kept is unknown"))


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the answers with these codes, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS.get(code, _OTHERWISE), []).append(code)
    return {
        status: {"model": ErrorDocument, "description": ", ".join(names)}
        for status, names in by_status.items()
    }

"""Asking for one-time codes and verifying them, as routes of the intake's application."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from angelia.catalog.document_parts import ChannelName
from angelia.contracts.ids import MAX_DIRECT_LETTERS
from angelia.contracts.sources import CHANNELS, ID, NAME
from angelia.intake import errors
from angelia.intake.bodies import body_of, read_body
from angelia.intake.codes import COOL_DOWN_US, Codes, Limited, network_of
from angelia.intake.errors import documented, refused
from angelia.intake.keys import Key
from angelia.intake.message import IntakeMessage, RealId, Refusal, draft, now, refusal_of

MAX_CODE_BODY_BYTES = 4_096
_Model = TypeVar("_Model", bound=BaseModel)
_IP = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
_EITHER: list[JsonValue] = [
    {"required": [name], "properties": {name: {"type": "string"}}} for name in ("campaign_id", "template_id")
]
_KEY = ("no_key", "not_in_scope", "database_unavailable", "internal")


class CodeAccess(Protocol):
    """Who may ask, and how often; the application of all routes is one."""

    async def key(self, request: Request, scope: str) -> Key:
        """Return the key of a request, which must have the scope."""

    def within_rate(self, key: Key, number: int) -> None:
        """Take so many messages of a key's rate. Raises: Refused."""


def whole(value: Any) -> Any:
    """Return 300 for 300.0, which is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class CodeRequest(BaseModel):
    """Whom a code is for, by which transactional campaign or template it goes, and who asks."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"oneOf": _EITHER})

    user_id: Annotated[str, RealId] = Field(pattern=ID)
    campaign_id: str | None = Field(
        None, pattern=NAME, description="its template has a variable `code`; this or template_id"
    )
    template_id: str | None = Field(
        None,
        pattern=NAME,
        max_length=MAX_DIRECT_LETTERS,
        description="a template with a variable `code` that says `direct`",
    )
    channels: list[ChannelName] = Field(
        default_factory=list,
        max_length=len(CHANNELS),
        description="in order of preference; each time it is asked again, the next one comes first",
    )
    lives_s: Annotated[int, BeforeValidator(whole)] = Field(
        300, ge=60, le=900, description="how long the code is valid"
    )
    network: Annotated[str, WithJsonSchema(_IP)] | None = Field(
        None, max_length=45, description="the IP address of whoever asks, for the limit a network has"
    )


class CodeMade(BaseModel):
    """A code that is on its way."""

    id: str
    accepted_at: datetime
    expires_at: datetime
    resend_after_s: int


class CodeGiven(BaseModel):
    """What somebody typed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(pattern=r"^[0-9]{1,12}$")


class CodeVerdict(BaseModel):
    """Whether it was right; with no attempts left a new code has to be asked for."""

    verified: bool
    attempts_left: int


def add_codes(app: FastAPI, intake: CodeAccess, codes: Codes) -> None:
    """Add the routes."""

    @app.post(
        "/v1/codes",
        operation_id="make_code",
        status_code=202,
        response_model=CodeMade,
        responses=documented(*_KEY, "not_json", "missing", "too_large", "cool_down", "rate_limited"),
        openapi_extra=body_of(CodeRequest),
    )
    async def ask(request: Request) -> JSONResponse:
        """Send a person a code by a message of high priority; it is in no answer."""
        key = await intake.key(request, "codes")
        given = _parsed(CodeRequest, await read_body(request, MAX_CODE_BODY_BYTES))
        try:
            if given.network is not None:
                network_of(given.network)
        except ValueError:
            raise refused("format", "an IPv4 or IPv6 address", "network") from None
        fields = {
            "user_id": given.user_id,
            "campaign_id": given.campaign_id,
            "template_id": given.template_id,
            "class": "transactional",
            "priority": "high",
            "channels": given.channels,
        }
        made = draft(IntakeMessage.model_validate(fields), key.client, now())
        if isinstance(made, Refusal):
            raise errors.Refused(made)
        # After the body is read: one that is refused costs nothing of the rate.
        intake.within_rate(key, 1)
        code = await run_in_threadpool(codes.make, made, given.lives_s * 1_000_000, given.network)
        if isinstance(code, Limited):
            raise errors.Refused(code.refusal, code.retry_s)
        document = {
            "id": code.id,
            "accepted_at": _iso(code.accepted_us),
            "expires_at": _iso(code.expires_us),
            "resend_after_s": COOL_DOWN_US // 1_000_000,
        }
        return JSONResponse(document, 202)

    @app.post(
        "/v1/codes/{code_id}:verify",
        operation_id="verify_code",
        response_model=CodeVerdict,
        responses=documented(*_KEY, "not_json", "missing", "too_large", "rate_limited"),
        openapi_extra=body_of(CodeGiven),
    )
    async def verify(request: Request, code_id: str) -> JSONResponse:
        """Say whether a code is right: once, and with five tries; an unknown id is a wrong code."""
        key = await intake.key(request, "codes")
        given = _parsed(CodeGiven, await read_body(request, MAX_CODE_BODY_BYTES))
        intake.within_rate(key, 1)
        verdict = await run_in_threadpool(codes.verify, key.client, code_id, given.code, now())
        return JSONResponse({"verified": verdict.is_right, "attempts_left": verdict.attempts_left})


def _parsed(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise errors.Refused(refusal_of(first, set(model.model_fields))) from None


def _iso(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat(timespec="milliseconds")

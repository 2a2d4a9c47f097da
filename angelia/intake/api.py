"""The REST interface of the intake as an ASGI application, described at /openapi.json.

Reads and writes the intake database. A POST is answered after the commit. Surprise: bodies are read and
judged here rather than by the framework, which would parse each one twice and quote it in its errors.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.engine import Engine
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from angelia.contracts.sources import CHANNEL, NAME
from angelia.intake import errors
from angelia.intake.access_log import AccessLog
from angelia.intake.answers import (
    AcceptedBody,
    BatchAnswer,
    BatchRequest,
    MessagePage,
    MessageView,
    Status,
    item_json,
    view_of,
)
from angelia.intake.bodies import REPEATABLE, body_of, read_body
from angelia.intake.codes import Codes
from angelia.intake.codes_api import add_codes
from angelia.intake.database import Unavailable
from angelia.intake.errors import documented, refused
from angelia.intake.following.reads import FollowedReads, campaigns_of
from angelia.intake.keys import Key, Keys, Rates
from angelia.intake.message import (
    Draft,
    IntakeMessage,
    Moment,
    Refusal,
    again,
    microseconds,
    now,
    parse_batch,
    parse_message,
)
from angelia.intake.people.addressed import address_drafts
from angelia.intake.people.addresses import PeopleAddresses
from angelia.intake.people.addresses_api import MailQuestions, add_addresses
from angelia.intake.people.external_ids import ExternalIds
from angelia.intake.people.external_ids_api import add_external_ids
from angelia.intake.people.preferences_api import add_preferences
from angelia.intake.store import Accepted, IntakeStore, Verdict
from angelia.intake.wire.short_way import Answering, JsonReply, reply_of
from angelia.intake.writing import Busy, GroupWriter
from angelia.lake import Lake

MAX_BODY_BYTES = 65_536
MAX_BATCH_BYTES = 8 * 2**20
log = logging.getLogger(__name__)
_KEY = ("no_key", "not_in_scope", "database_unavailable", "internal")
_MESSAGE_ID = r"[0-9a-f]{32}"
_PARAMETERS = {"status", "campaign", "template", "channel", "from", "to", "cursor", "limit"}


class Intake:
    """What the routes share: the keys, their rates, the store and its writer."""

    def __init__(self, engine: Engine, lake: Lake | None = None, follower: Engine | None = None) -> None:
        self.lake = lake
        self.store, self.keys, self.rates = IntakeStore(engine), Keys(engine), Rates()
        self._followers_keys = None if follower is None else Keys(follower)
        self.reads = FollowedReads(self.store, None if follower is None else IntakeStore(follower))
        self._writer: GroupWriter[Draft, Verdict] | None = None

    @asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Write while the server runs; end when everything taken is written."""
        # A database that is down now is asked again with the first message.
        with suppress(Unavailable):
            await run_in_threadpool(self.store.read_keys)
        self._writer = GroupWriter(self.store)
        yield
        await run_in_threadpool(self._writer.close)

    async def key(self, request: Request, scope: str) -> Key:
        """Return the key of a request, which must have the scope."""
        text = _bearer(request.headers.get("authorization", ""))
        key = self.keys.remembered(text) if text is not None else None
        if key is False and text is not None:
            key = await run_in_threadpool(self._check, text, scope)
        if not isinstance(key, Key):
            raise refused("no_key", "send `Authorization: Bearer ank_…` with a key that is in use")
        request.scope["angelia_client"] = key.client
        if scope not in key.scopes:
            raise refused("not_in_scope", f"the key lacks the scope {scope}")
        return key

    def _check(self, text: str, scope: str) -> Key | None:
        try:
            return self.keys.check(text)
        except Unavailable:
            # What the follower has can still be read while the leader is down.
            if self._followers_keys is None or scope != "read":
                raise
            return self._followers_keys.check(text)

    def within_rate(self, key: Key, number: int) -> None:
        """Take so many messages of a key's rate. Raises: Refused."""
        wait_s = self.rates.take(key, number, time.monotonic())
        if wait_s:
            raise refused("rate_limited", f"over {key.per_second} messages a second", retry_after_s=wait_s)

    async def write(self, key: Key, drafts: Sequence[Draft]) -> list[Verdict]:
        """Return the verdicts of drafts, within the key's rate."""
        self.within_rate(key, max(1, len(drafts)))
        if not drafts:
            return []
        assert self._writer is not None, "the application has not started"
        if any(draft.to is not None for draft in drafts):
            await run_in_threadpool(address_drafts, self.lake, drafts)
        try:
            return await self._writer.write(drafts)
        except Busy:
            raise refused("busy", "the intake has more waiting than it can write", retry_after_s=1) from None

    async def take_one(self, key: Key, body: bytes) -> JsonReply:
        """Take one message; 202 says that it is durable. Raises: Refused."""
        return await self.taken(key, parse_message(body, key.client, now()))

    async def taken(self, key: Key, draft: Draft | Refusal) -> JsonReply:
        """Return the answer to one draft, once it is durable. Raises: Refused."""
        if isinstance(draft, Refusal):
            raise errors.Refused(draft)
        (verdict,) = await self.write(key, [draft])
        if not isinstance(verdict, Accepted):
            raise errors.Refused(verdict)
        return JsonReply(202, item_json(verdict).encode())

    async def take_batch(self, key: Key, body: bytes) -> JsonReply:
        """Take up to a thousand messages; each has its own verdict. Raises: Refused."""
        drafts = parse_batch(body, key.client, now())
        if isinstance(drafts, Refusal):
            raise errors.Refused(drafts)
        written = iter(await self.write(key, [draft for draft in drafts if isinstance(draft, Draft)]))
        verdicts = [draft if isinstance(draft, Refusal) else next(written) for draft in drafts]
        accepted = sum(isinstance(verdict, Accepted) for verdict in verdicts)
        items = ",".join(map(item_json, verdicts))
        document = f'{{"accepted":{accepted},"refused":{len(verdicts) - accepted},"items":[{items}]}}'
        return JsonReply(200, document.encode())


def create_app(
    engine: Engine,
    access_log: Path | None = None,
    codes: Codes | None = None,
    metrics_folder: Path | None = None,
    lake: Lake | None = None,
    questions: MailQuestions | None = None,
    follower: Engine | None = None,
) -> IntakeApp:
    """Return the application on a connected database, and on one that follows it.

    One-time codes only with `codes`, people's preferences and addresses only with a lake, new addresses of
    e-mail only with somebody who asks people whether they are theirs.
    """
    intake = Intake(engine, lake, follower)
    app = FastAPI(
        title="Angelia intake",
        version="1",
        description=__doc__.partition("\n")[0],
        docs_url=None,
        redoc_url=None,
        lifespan=intake.running,
    )
    for kind, handler in (
        (errors.Refused, errors.on_refused),
        (Unavailable, _on_unavailable),
        (HTTPException, errors.on_http),
        (RequestValidationError, errors.on_parameters),
        (Exception, errors.on_defect),
    ):
        app.add_exception_handler(kind, handler)
    _add_writing(app, intake)
    _add_reading(app, intake)
    if codes is not None:
        add_codes(app, intake, codes)
    add_external_ids(app, intake, ExternalIds(engine))
    if lake is not None:
        add_preferences(app, intake, lake)
        add_addresses(app, intake, PeopleAddresses(engine, lake), questions or MailQuestions())
    document = app.openapi()  # made once; from here on the framework serves this object
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    return IntakeApp(AccessLog(app, access_log, metrics_folder), intake, document)


class IntakeApp:
    """The application, with a short way for the two busiest requests.

    The framework's routing, its parameters and its stacks of contexts cost five times what a message does.
    """

    def __init__(self, app: AccessLog, intake: Intake, document: dict[str, Any]) -> None:
        self._app, self._keys, self.document = app, intake.keys, document
        self._ways = {
            b"/v1/messages": ("/v1/messages", MAX_BODY_BYTES, intake.take_one),
            b"/v1/messages:batch": ("/v1/messages:batch", MAX_BATCH_BYTES, intake.take_batch),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by the framework."""
        await self._app(scope, receive, send)

    def admitted(self, path: bytes, authorization: str, length: int) -> Answering | None:
        """Return what answers a body of so many bytes; None leaves it to the framework."""
        way, text = self._ways.get(path), _bearer(authorization)
        if way is None or text is None or length > way[1]:
            return None
        key = self._keys.remembered(text)
        if not isinstance(key, Key) or "write" not in key.scopes:
            return None
        route, _, take = way
        began = time.monotonic()

        async def answering(body: bytes) -> JsonReply:
            reply = await _replied(take, key, body)
            self._app.note("POST", route, key.client, reply.status, time.monotonic() - began)
            return reply

        return answering


async def _replied(take: Callable[[Key, bytes], Awaitable[JsonReply]], key: Key, body: bytes) -> JsonReply:
    """Return the answer to a body, also where it is refused or something is broken."""
    try:
        return await take(key, body)
    except errors.Refused as error:
        answer = errors.answer_of(error.refusal, error.retry_after_s)
    except Unavailable:
        answer = _unavailable()
    except Exception:
        log.exception("a request met a defect")
        answer = errors.defect()
    return reply_of(answer.status_code, bytes(answer.body), answer.raw_headers)


def _bearer(authorization: str) -> str | None:
    kind, _, text = authorization.partition(" ")
    return text if kind.lower() == "bearer" else None


def _add_writing(app: FastAPI, intake: Intake) -> None:
    @app.post(
        "/v1/messages",
        operation_id="send_message",
        status_code=202,
        response_model=AcceptedBody,
        responses=documented(
            *(*_KEY, "lake_unavailable", "not_json", "missing", "too_large"),
            *("idempotency_conflict", "rate_limited", "busy"),
        ),
        openapi_extra=body_of(IntakeMessage),
    )
    async def accept(request: Request) -> Response:
        """Take one message; 202 says that it is durable."""
        key = await intake.key(request, "write")
        return _response(await intake.take_one(key, await read_body(request, MAX_BODY_BYTES)))

    @app.post(
        "/v1/messages:batch",
        operation_id="send_batch",
        response_model=BatchAnswer,
        responses=documented(
            *_KEY, "lake_unavailable", "not_json", "missing", "too_large", "rate_limited", "busy"
        ),
        openapi_extra=body_of(BatchRequest),
    )
    async def accept_batch(request: Request) -> Response:
        """Take up to a thousand messages; each has its own verdict, in the order given."""
        key = await intake.key(request, "write")
        return _response(await intake.take_batch(key, await read_body(request, MAX_BATCH_BYTES)))

    @app.post(
        "/v1/messages/{message_id}:resend",
        operation_id="resend_message",
        openapi_extra=REPEATABLE,
        status_code=202,
        response_model=AcceptedBody,
        responses=documented(*_KEY, "not_found", "not_resendable", "rate_limited", "busy"),
    )
    async def resend(request: Request, message_id: str) -> Response:
        """Send a message once more, as a message of its own; asked twice, it is sent once."""
        key = await intake.key(request, "write")
        row = await run_in_threadpool(intake.store.get, key.client, message_id)
        # A message of another client gets the same answer as none, so ids cannot be tried out.
        if row is None:
            raise refused("not_found", "this client has no such message")
        return _response(await intake.taken(key, again(row, now())))


def _response(reply: JsonReply) -> Response:
    return Response(reply.body, reply.status, media_type="application/json")


def _add_reading(app: FastAPI, intake: Intake) -> None:
    @app.get(
        "/v1/messages/{message_id}",
        operation_id="message",
        response_model=MessageView,
        responses=documented(*_KEY, "not_found"),
    )
    async def show(request: Request, message_id: str) -> JSONResponse:
        """Show one message, its status and the time of each step."""
        key = await intake.key(request, "read")
        return JSONResponse(await _shown(intake, key, message_id))

    @app.get(
        "/v1/messages",
        operation_id="messages",
        response_model=MessagePage,
        responses=documented(*_KEY, "invalid"),
    )
    async def list_messages(
        request: Request,
        status: Status | None = None,
        campaign: Annotated[str | None, Query(pattern=NAME)] = None,
        template: Annotated[str | None, Query(pattern=NAME)] = None,
        channel: Annotated[str | None, Query(pattern=CHANNEL)] = None,
        accepted_from: Annotated[Moment | None, Query(alias="from")] = None,
        accepted_to: Annotated[Moment | None, Query(alias="to")] = None,
        cursor: Annotated[str | None, Query(pattern=f"^{_MESSAGE_ID}$")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> JSONResponse:
        """List this client's messages, newest first; `next` is the cursor of the next page."""
        key = await intake.key(request, "read")
        # A person is no parameter: addresses are logged by proxies on the way.
        if unknown := set(request.query_params) - _PARAMETERS:
            raise refused("unknown_field", "there is no such parameter", min(unknown)[:64])
        moment = now()
        rows, noted = await run_in_threadpool(
            intake.reads.page,
            key.client,
            moment,
            status=status,
            campaigns=campaigns_of(campaign, template),
            channel=channel,
            from_us=None if accepted_from is None else microseconds(accepted_from),
            to_us=None if accepted_to is None else microseconds(accepted_to),
            before=cursor,
            limit=limit + 1,
        )
        page, more = rows[:limit], rows[limit:]
        next_page = page[-1]["id"] if more else None
        views = [view_of(row, noted.get(row["id"], ()), moment) for row in page]
        return JSONResponse({"messages": views, "next": next_page})

    @app.delete(
        "/v1/messages/{message_id}",
        operation_id="cancel_message",
        response_model=MessageView,
        responses=documented(*_KEY, "not_found", "not_cancellable"),
    )
    async def cancel(request: Request, message_id: str) -> JSONResponse:
        """Cancel a message that nobody took yet; a cancelled one stays cancelled and says so again."""
        key = await intake.key(request, "cancel")
        await run_in_threadpool(intake.store.cancel, key.client, message_id, now())
        intake.reads.note_change(key.client, message_id)
        shown = await _shown(intake, key, message_id)
        if shown["status"] != "cancelled":
            raise refused("not_cancellable", f"the message is {shown['status']}")
        return JSONResponse(shown)


async def _shown(intake: Intake, key: Key, message_id: str) -> dict[str, Any]:
    """Return a client's message as it sees it. Raises: Refused."""
    known = await run_in_threadpool(intake.reads.message, key.client, message_id)
    if known is None:
        raise refused("not_found", "this client has no such message")
    row, noted = known
    return view_of(row, noted.get(message_id, ()), now())


async def _on_unavailable(_request: Request, _error: Exception) -> JSONResponse:
    return _unavailable()


def _unavailable() -> JSONResponse:
    reason = "the database does not answer: nothing is acknowledged, send it again with its idempotency key"
    return errors.answer_of(Refusal("database_unavailable", "", reason), 1)

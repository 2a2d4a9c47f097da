"""The ASGI application for what comes back: events, callbacks, one-click unsubscribing.

`POST /events` is signed as Standard Webhooks says, `POST /callbacks/{channel}` as each provider does,
`/unsubscribe?d=…&t=…` carries the token that the e-mail's link was made with (`unsubscribing.py`), and
`inbox/` describes `/inbox` and `/beacons`. An answer of 200 to a POST means durable. Surprises: TLS and the
public name belong to a reverse proxy; no part of a request is logged or echoed. The headers of a signature
are checked before the body is read, and a body must arrive within ten seconds, so a slow caller blocks only
its own connection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from angelia.delivery.channels.webhook import looks_signed, verify
from angelia.errors import AngeliaError
from angelia.intake.access_log import AccessLog
from angelia.receive.callbacks.base import Callback, Reader, Reported
from angelia.receive.inbox.beacons import BeaconTrust, beacons_of
from angelia.receive.inbox.routes import InboxTrust, marks_of, message_of, view_of
from angelia.receive.inbox.store import InboxStore
from angelia.receive.journal import parse
from angelia.receive.preferences.page import HEADERS
from angelia.receive.preferences.routes import Preferences, fields_of_form
from angelia.receive.receiver import MAX_BODY, CallbackReceiver, NotTaken
from angelia.receive.unsubscribing import Unsubscribing

log = logging.getLogger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(receiver: CallbackReceiver, access_log: Path | None = None) -> ASGIApp:
    """Return the application."""
    unsubscribing = Unsubscribing(receiver)
    routes: dict[str, dict[str, Endpoint]] = {
        "/health": {"GET": _health},
        "/events": {"POST": lambda request: _events(receiver, request)},
        "/unsubscribe": {"POST": unsubscribing.take, "GET": unsubscribing.ask},
    }
    for channel, reader in receiver.trust.readers.items():
        # Providers look by HEAD whether an address is there before they use it.
        routes[f"/callbacks/{channel}"] = {"POST": _callback(receiver, channel, reader), "HEAD": _health}
    if receiver.inbox is not None and receiver.trust.inbox is not None:
        routes |= _inbox(receiver, receiver.inbox, receiver.trust.inbox)
    if receiver.lake is not None and receiver.trust.preferences is not None:
        routes |= _preferences(receiver, Preferences(receiver.lake, receiver.trust.preferences))
    if receiver.trust.beacons is not None:
        routes["/beacons"] = {"POST": _beacons(receiver, receiver.trust.beacons)}
    lifespan = Starlette(lifespan=receiver.running)
    return AccessLog(_Routes(receiver, routes, lifespan), access_log)


class _Routes:
    """Hands requests to their functions by their whole path; no route has a pattern."""

    def __init__(
        self, receiver: CallbackReceiver, routes: Mapping[str, Mapping[str, Endpoint]], lifespan: ASGIApp
    ) -> None:
        self._receiver, self._routes, self._lifespan = receiver, routes, lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(scope, request)
        except NotTaken as error:
            answer = error.answer()
        except AngeliaError as error:
            log.error("not answered: %s", error.one_line())
            answer = NotTaken(503, "not stored").answer()
        except ClientDisconnect:
            self._receiver.counts["broken"] += 1
            return
        except Exception as error:  # noqa: BLE001 (its traceback would hold what the caller sent)
            log.error("a callback met a defect: %s", type(error).__name__)
            answer = JSONResponse({"error": "internal"}, 500)
        self._receiver.counts[str(answer.status_code)] += 1
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, request: Request) -> Response:
        methods = self._routes.get(scope["path"])
        if methods is None:
            raise NotTaken(404, "no such address")
        scope["route"] = SimpleNamespace(path=scope["path"])  # for the access log
        endpoint = methods.get(scope["method"])
        if endpoint is None:
            allowed = ", ".join(methods)
            raise NotTaken(405, f"only {allowed}", headers={"allow": allowed})
        if scope["method"] != "POST":
            return await endpoint(request)
        # A request that names no length has no body (RFC 9112 6.3): a link is asked for without one.
        length = request.headers.get("content-length", "0")
        if "transfer-encoding" in request.headers or not (length.isascii() and length.isdigit()):
            raise NotTaken(411, "a body needs its content-length")
        if len(length) > 9 or int(length) > MAX_BODY:
            raise NotTaken(413, "too long")
        return await endpoint(request)


async def _health(_request: Request) -> Response:
    return JSONResponse({"ok": True})


async def _events(receiver: CallbackReceiver, request: Request) -> Response:
    name, stamp, signature = (
        request.headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
    )
    callers, now = receiver.trust.callers, receiver.now()
    if not callers or not looks_signed(name, stamp, signature, now.timestamp()):
        raise NotTaken(401, "signature")
    body = await receiver.body(request)
    signers = (
        caller
        for caller, secret in callers.items()
        if verify(secret, name, stamp, body, signature, now.timestamp())
    )
    caller = next(signers, None)
    if caller is None:
        raise NotTaken(401, "signature")
    request.scope["angelia_client"] = caller or None
    try:
        events, refused = parse(body, now, caller)
    except (ValueError, RecursionError) as error:
        raise NotTaken(400, str(error) if type(error) is ValueError else "no JSON") from None
    if refused and not events:
        raise NotTaken(400, refused[0], {"refused": refused})
    # Two callers may use the same numbers, so a request is a repeat only if its content is equal, too.
    return await receiver.take(
        f"events:{caller}:{name}:{sha256(body).hexdigest()}", Reported(events, refused)
    )


def _beacons(receiver: CallbackReceiver, trust: BeaconTrust) -> Endpoint:
    async def take(request: Request) -> Response:
        person = trust.person(request.headers.get("authorization", ""), receiver.now())
        if person is None:
            raise NotTaken(401, "token")
        body = await receiver.body(request)
        try:
            reported = beacons_of(body, person, receiver.now())
        except (ValueError, RecursionError) as error:
            raise NotTaken(400, str(error) if type(error) is ValueError else "no JSON") from None
        if reported.refused and not reported.events:
            raise NotTaken(400, reported.refused[0], {"refused": reported.refused})
        return await receiver.take(f"beacons:{person}:{sha256(body).hexdigest()}", reported)

    return take


def _callback(receiver: CallbackReceiver, channel: str, reader: Reader) -> Endpoint:
    async def take(request: Request) -> Response:
        query, now = request.url.query, receiver.now()
        if not reader.looks_signed(request.headers, query, now):
            raise NotTaken(401, "signature")
        callback = Callback(request.headers, query, await receiver.body(request), now)
        request.scope["angelia_client"] = channel
        try:
            reported = await _read(reader, callback)
        except ValueError:
            raise NotTaken(400, "not as documented") from None
        return await receiver.take(
            f"callback:{channel}:{query}:{sha256(callback.body).hexdigest()}", reported
        )

    return take


async def _read(reader: Reader, callback: Callback) -> Reported:
    def read() -> Reported:
        if not reader.is_signed(callback):
            raise NotTaken(401, "signature")
        return reader.read(callback)

    if not reader.is_blocking:
        return read()
    try:
        return await run_in_threadpool(read)
    except (OSError, httpx.HTTPError):
        raise NotTaken(503, "the provider's certificate cannot be read") from None


def _inbox(
    receiver: CallbackReceiver, inbox: InboxStore, trust: InboxTrust
) -> dict[str, dict[str, Endpoint]]:
    def person_of(request: Request) -> str:
        person = trust.person(request.headers.get("authorization", ""), receiver.now())
        if person is None:
            raise NotTaken(401, "token")
        return person

    async def keep(request: Request) -> Response:
        if not trust.is_worker(request.headers.get("authorization", "")):
            raise NotTaken(401, "secret")
        try:
            message = message_of(await receiver.body(request), receiver.now())
        except ValueError:
            raise NotTaken(400, "not as documented") from None
        await receiver.keep_message(message)
        return JSONResponse({"kept": True})

    async def show(request: Request) -> Response:
        rows = await run_in_threadpool(inbox.messages_of, person_of(request))
        unread = sum(row["state"] == "new" for row in rows)
        headers = {"cache-control": "no-store"}
        return JSONResponse({"messages": list(map(view_of, rows)), "unread": unread}, headers=headers)

    async def mark(request: Request) -> Response:
        person, body = person_of(request), await receiver.body(request)
        try:
            reported, marks = await run_in_threadpool(marks_of, body, inbox, person, receiver.now())
        except ValueError:
            raise NotTaken(400, "not as documented") from None
        # Marks show only once the journal has them: what the app has seen must outlive the process.
        answer = await receiver.take(f"inbox:{person}:{sha256(body).hexdigest()}", reported)
        for state, dispatches in marks.items():
            inbox.mark(dispatches, state)
        return answer

    return {"/inbox": {"GET": show}, "/inbox/messages": {"POST": keep}, "/inbox/marks": {"POST": mark}}


def _preferences(receiver: CallbackReceiver, preferences: Preferences) -> dict[str, dict[str, Endpoint]]:
    def page(text: str | None) -> Response:
        if text is None:
            raise NotTaken(401, "token")
        return HTMLResponse(text, headers=HEADERS)

    def person_of(token: str) -> str:
        person = preferences.person(token, receiver.now())
        if person is None:
            raise NotTaken(401, "token")
        return person

    async def link(request: Request) -> Response:
        address = preferences.link_for(request.headers.get("authorization", ""), receiver.now())
        if address is None:
            raise NotTaken(401, "token")
        return JSONResponse({"link": address}, headers={"cache-control": "no-store"})

    async def show(request: Request) -> Response:
        token = request.query_params.get("t", "")
        return page(await run_in_threadpool(preferences.show, person_of(token), token, receiver.now()))

    async def keep(request: Request) -> Response:
        body, now = await receiver.body(request), receiver.now()
        try:
            token = fields_of_form(body).get("t", "")
            person = person_of(token)
            asked, notes = await run_in_threadpool(preferences.keep, person, body, now)
        except ValueError:
            raise NotTaken(400, "not as documented") from None
        # Choices are durable by now; a mail that cannot be sent becomes a note on the page, no error.
        notes += tuple([await preferences.ask(person, channel, now) for channel in asked])
        receiver.counts["preferences"] += 1
        return page(await run_in_threadpool(preferences.show, person, token, now, notes))

    async def question(request: Request) -> Response:
        token = request.query_params.get("t", "")
        return page(await run_in_threadpool(preferences.question, token, receiver.now()))

    async def confirm(request: Request) -> Response:
        body = await receiver.body(request)
        try:
            token = fields_of_form(body).get("t", "")
        except ValueError:
            raise NotTaken(400, "not as documented") from None
        return page(await run_in_threadpool(preferences.confirm, token, receiver.now()))

    return {
        "/preferences": {"GET": show, "POST": keep},
        "/preferences/confirm": {"GET": question, "POST": confirm},
        "/preferences/link": {"POST": link},
    }

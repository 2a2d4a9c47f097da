"""The link of List-Unsubscribe: one click by POST (RFC 8058), or a page with a button.

Writes an opt-out into the journal. Surprise: the page changes nothing until its button is pressed, since mail
scanners follow links; mail programs that support one click never see it.
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.receive.callbacks.base import Reported
from angelia.receive.journal import Event
from angelia.receive.preferences.page import HEADERS, render
from angelia.receive.receiver import CallbackReceiver, NotTaken

_ONE_CLICK = {"List-Unsubscribe": "One-Click"}


class Unsubscribing:
    """What the link answers."""

    def __init__(self, receiver: CallbackReceiver) -> None:
        self._receiver = receiver

    async def ask(self, request: Request) -> Response:
        """Return the page whose button unsubscribes."""
        if self._dispatch_of(request) is None:
            return _page("This link is not complete. Please open it once more from the message.", status=401)
        text = render(question="Shall we stop sending you these messages?", hidden=_ONE_CLICK)
        return HTMLResponse(text, headers=HEADERS)

    async def take(self, request: Request) -> Response:
        """Keep the opt-out that a mail program or the page's button posts. Raises: NotTaken."""
        dispatch = self._dispatch_of(request)
        if dispatch is None:
            raise NotTaken(401, "token")
        body = await self._receiver.body(request)
        if not _says_one_click(request.headers.get("content-type", ""), body):
            raise NotTaken(400, "List-Unsubscribe=One-Click")
        name, at_us = f"unsubscribe:{dispatch}", int(self._receiver.now().timestamp() * 1e6)
        event = Event(name, dispatch, "unsubscribed", at_us, is_arrival=True)
        answer = await self._receiver.take(name, Reported([event]))
        is_person = "text/html" in request.headers.get("accept", "")
        return _page("You will get no more of these messages.") if is_person else answer

    def _dispatch_of(self, request: Request) -> str | None:
        query, secret = parse_qs(request.url.query), self._receiver.trust.mail_secret
        dispatch, token = query.get("d", [""])[0], query.get("t", [""])[0]
        if secret is None:
            return None
        wanted = unsubscribe_token(secret, dispatch).encode()
        return dispatch if hmac.compare_digest(wanted, token.encode("utf-8", "replace")) else None


def _page(note: str, status: int = 200) -> Response:
    return HTMLResponse(render(notes=(note,)), status, headers=HEADERS)


def _says_one_click(kind: str, body: bytes) -> bool:
    """Say whether a form, of either encoding (RFC 8058, 3.2), holds List-Unsubscribe=One-Click."""
    if kind.startswith("multipart/form-data"):
        return b'name="List-Unsubscribe"' in body and b"One-Click" in body
    return parse_qs(body.decode("latin-1")).get("List-Unsubscribe") == ["One-Click"]

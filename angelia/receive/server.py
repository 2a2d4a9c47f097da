"""A small HTTP server for callbacks: signed events, and one-click unsubscribing (RFC 8058).

`POST /events` is signed as Standard Webhooks says, `POST /unsubscribe?d=…&t=…` carries the token that the
e-mail's link was made with. An answer of 200 means durable. Surprises: it speaks plain HTTP, on this machine
only unless told otherwise: TLS and the public name are a reverse proxy's; a GET never unsubscribes anybody,
for mail scanners follow links; nothing of a request is logged or sent back.
"""

from __future__ import annotations

import hmac
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.delivery.channels.webhook import verify
from angelia.errors import AngeliaError
from angelia.receive.journal import Event, Journal, parse

MAX_BODY = 1 << 20
_TIMEOUT_S = 10.0
_AT_ONCE = 64


class Receiver(ThreadingHTTPServer):
    """The server, its secrets, and what it counted; `told` is set when an event came."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        address: tuple[str, int],
        journal: Journal,
        secret: bytes | Mapping[str, bytes] | None,
        mail_secret: bytes | None,
        now: Callable[[], datetime],
    ) -> None:
        self.journal, self.mail_secret, self.now = journal, mail_secret, now
        self.callers = {"": secret} if isinstance(secret, bytes) else dict(secret or {})
        self.counts: Counter[str] = Counter()
        self.told = threading.Event()
        self.room = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Count a connection that broke; its traceback would hold what the caller sent."""
        self.counts["broken"] += 1


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "angelia", ""
    timeout = _TIMEOUT_S

    def log_message(self, *args: object) -> None:
        """Say nothing: paths hold dispatch ids and tokens."""

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/health":
            self._answer(200, {"ok": True})
        else:
            self._answer(
                405 if urlsplit(self.path).path in ("/events", "/unsubscribe") else 404, {"error": "POST"}
            )

    def do_POST(self) -> None:
        server = self.server
        if not server.room.acquire(blocking=False):
            self._answer(503, {"error": "busy"})
            return
        try:
            routes = {"/events": self._events, "/unsubscribe": self._unsubscribe}
            route = routes.get(urlsplit(self.path).path)
            length = self.headers.get("content-length", "")
            if route is None:
                self._answer(404, {"error": "no such address"})
            elif "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
                self._answer(411, {"error": "content-length"})
            elif int(length) > MAX_BODY:
                self._answer(413, {"error": "too long"})
            else:
                body = self.rfile.read(int(length))
                if len(body) == int(length):
                    route(body)
        except (AngeliaError, OSError):
            self._answer(503, {"error": "not stored"})  # the caller tries again
        finally:
            server.room.release()

    def _events(self, body: bytes) -> None:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        name, stamp, signature = (self.headers.get(header, "") for header in names)
        now = self.server.now()
        callers = [
            caller
            for caller, secret in self.server.callers.items()
            if verify(secret, name, stamp, body, signature, now.timestamp())
        ]
        if not (name and callers):
            self._answer(401, {"error": "signature"})
            return
        try:
            events, refused = parse(body, now, callers[0])
        except (ValueError, RecursionError) as error:
            self._answer(400, {"error": str(error) if type(error) is ValueError else "no JSON"})
            return
        if refused and not events:
            self._answer(400, {"error": refused[0], "refused": refused})
            return
        # Two callers may number their requests alike, so it is a repeated one only if it says the same.
        self._take(f"events:{callers[0]}:{name}:{sha256(body).hexdigest()}", events, refused)

    def _unsubscribe(self, body: bytes) -> None:
        query = parse_qs(urlsplit(self.path).query)
        dispatch, token = query.get("d", [""])[0], query.get("t", [""])[0]
        if self.server.mail_secret is None or not hmac.compare_digest(
            unsubscribe_token(self.server.mail_secret, dispatch).encode(), token.encode("utf-8", "replace")
        ):
            self._answer(401, {"error": "token"})
        elif not _says_one_click(self.headers.get("content-type", ""), body):
            self._answer(400, {"error": "List-Unsubscribe=One-Click"})
        else:
            at = int(self.server.now().timestamp() * 1e6)
            self._take(
                f"unsubscribe:{dispatch}", [Event(f"unsubscribe:{dispatch}", dispatch, "unsubscribed", at)]
            )

    def _take(self, name: str, events: list[Event], refused: list[str] | None = None) -> None:
        is_new = self.server.journal.take(name, events, self.server.now())
        self.server.counts["requests" if is_new else "repeated"] += 1
        self.server.counts["events"] += len(events) if is_new else 0
        self.server.told.set()
        self.server.counts["refused"] += len(refused or ()) if is_new else 0
        self._answer(
            200, {"taken": len(events), "repeated": not is_new} | ({"refused": refused} if refused else {})
        )

    def _answer(self, status: int, document: dict[str, object]) -> None:
        self.server.counts[str(status)] += 1
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


def _says_one_click(kind: str, body: bytes) -> bool:
    """Say whether a form, of either encoding (RFC 8058, 3.2), holds List-Unsubscribe=One-Click."""
    if kind.startswith("multipart/form-data"):
        return b'name="List-Unsubscribe"' in body and b"One-Click" in body
    return parse_qs(body.decode("latin-1")).get("List-Unsubscribe") == ["One-Click"]


def utc_now() -> datetime:
    """Return this instant."""
    return datetime.now(UTC)

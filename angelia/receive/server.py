"""A small HTTP server for callbacks: signed events, and one-click unsubscribing (RFC 8058).

`POST /events` is signed as Standard Webhooks says, `POST /unsubscribe?d=…&t=…` carries the token that the
e-mail's link was made with. An answer of 200 means durable. Surprises: it speaks plain HTTP, on this machine
only unless told otherwise: TLS and the public name are a reverse proxy's; a GET never unsubscribes anybody,
for mail scanners follow links; nothing of a request is logged or sent back. A request has ten seconds in all,
and takes one of the 64 places only once it is here as a whole: who is slow keeps nobody out.
"""

from __future__ import annotations

import hmac
import io
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from angelia.delivery.channels.smtp import unsubscribe_token
from angelia.delivery.channels.webhook import looks_signed, verify
from angelia.errors import AngeliaError
from angelia.receive.journal import Event, Journal, parse

MAX_BODY = 1 << 20
_TIMEOUT_S = 10.0  # for one request, from its first byte to its last
_CHUNK = 1 << 16
_AT_ONCE = 64


class CallbackServer(ThreadingHTTPServer):
    """The server, its secrets, and what it counted; `has_event` is set when an event came."""

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
        self.has_event = threading.Event()
        self.room = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Count a connection that broke; its traceback would hold what the caller sent."""
        self.counts["broken"] += 1


class _Handler(BaseHTTPRequestHandler):
    server: CallbackServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "angelia", ""

    def setup(self) -> None:
        """Read a request by a deadline for the whole of it.

        With a timeout for each read, a caller could send a byte now and then for ever.
        """
        super().setup()
        self.rfile = io.BufferedReader(_UntilDeadline(self.connection, time.monotonic() + _TIMEOUT_S))

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
        routes = {
            "/events": (self._looks_signed, "signature", self._events),
            "/unsubscribe": (self._has_token, "token", self._unsubscribe),
        }
        route = routes.get(urlsplit(self.path).path)
        length = self.headers.get("content-length", "")
        if route is None:
            self._refuse(404, "no such address")
            return
        may_go_on, wanted, take = route
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(411, "content-length")
        elif int(length[:9]) > MAX_BODY or len(length) > 9:
            self._refuse(413, "too long")
        elif not may_go_on():
            self._refuse(401, wanted)
        else:
            body = self._body(int(length))
            if body is not None:
                self._in_room(take, body)

    def _body(self, length: int) -> bytes | None:
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            self._answer(408, {"error": "too slow"})
            return None
        return body if len(body) == length else None

    def _in_room(self, take: Callable[[bytes], None], body: bytes) -> None:
        room = self.server.room
        if not room.acquire(blocking=False):
            self._answer(503, {"error": "busy"})
            return
        try:
            take(body)
        except (AngeliaError, OSError):
            self._answer(503, {"error": "not stored"})  # the caller tries again
        finally:
            room.release()

    def _refuse(self, status: int, error: str) -> None:
        """Answer without having read the body, then let the rest arrive.

        A connection closed over unread bytes is reset, and the answer is lost with it.
        """
        self._answer(status, {"error": error})
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while self.rfile.read1(_CHUNK):
                pass

    def _signature(self) -> tuple[str, str, str]:
        name, stamp, signature = (
            self.headers.get(f"webhook-{field}", "") for field in ("id", "timestamp", "signature")
        )
        return name, stamp, signature

    def _looks_signed(self) -> bool:
        return bool(self.server.callers) and looks_signed(*self._signature(), self.server.now().timestamp())

    def _events(self, body: bytes) -> None:
        name, stamp, signature = self._signature()
        now = self.server.now()
        callers = [
            caller
            for caller, secret in self.server.callers.items()
            if verify(secret, name, stamp, body, signature, now.timestamp())
        ]
        if not callers:
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
        # Two callers may use the same numbers, so a request is a repeat only if its content is equal, too.
        self._take(f"events:{callers[0]}:{name}:{sha256(body).hexdigest()}", events, refused)

    def _link(self) -> tuple[str, str]:
        query = parse_qs(urlsplit(self.path).query)
        return query.get("d", [""])[0], query.get("t", [""])[0]

    def _has_token(self) -> bool:
        dispatch, token = self._link()
        secret = self.server.mail_secret
        return secret is not None and hmac.compare_digest(
            unsubscribe_token(secret, dispatch).encode(), token.encode("utf-8", "replace")
        )

    def _unsubscribe(self, body: bytes) -> None:
        dispatch, _ = self._link()
        if not _says_one_click(self.headers.get("content-type", ""), body):
            self._answer(400, {"error": "List-Unsubscribe=One-Click"})
            return
        at = int(self.server.now().timestamp() * 1e6)
        self._take(
            f"unsubscribe:{dispatch}", [Event(f"unsubscribe:{dispatch}", dispatch, "unsubscribed", at)]
        )

    def _take(self, name: str, events: list[Event], refused: list[str] | None = None) -> None:
        is_new = self.server.journal.take(name, events, self.server.now())
        self.server.counts["requests" if is_new else "repeated"] += 1
        self.server.counts["events"] += len(events) if is_new else 0
        self.server.has_event.set()
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


class _UntilDeadline(io.RawIOBase):
    """A socket's bytes, as long as there is time. Raises: TimeoutError."""

    def __init__(self, connection: socket.socket, ends: float) -> None:
        self._connection, self._ends = connection, ends

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what is there, or wait for it."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _says_one_click(kind: str, body: bytes) -> bool:
    """Say whether a form, of either encoding (RFC 8058, 3.2), holds List-Unsubscribe=One-Click."""
    if kind.startswith("multipart/form-data"):
        return b'name="List-Unsubscribe"' in body and b"One-Click" in body
    return parse_qs(body.decode("latin-1")).get("List-Unsubscribe") == ["One-Click"]


def utc_now() -> datetime:
    """Return this instant."""
    return datetime.now(UTC)

"""What every request passes before a page: known hosts, own origin, forbidding headers.

Airflow's cookie travels with every request of the browser, so a writing request counts only if the browser
says that one of our own pages made it. Pages may load nothing but this server's own files, and be framed by
it alone.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

LOG = logging.getLogger(__name__)
SAFE = ("GET", "HEAD")
LOCAL = ("127.0.0.1", "localhost", "[::1]")
BODY_BYTES_AT_MOST = 16 * 1024 * 1024
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


def allowed_hosts() -> frozenset[str]:
    """Return its own names, that of Airflow's base_url, and those of ANGELIA_AIRFLOW_HOSTS."""
    from airflow.configuration import conf

    base = urlsplit(conf.get("api", "base_url", fallback="") or "").hostname or ""
    more = os.environ.get("ANGELIA_AIRFLOW_HOSTS", "").split(",")
    return frozenset(name.strip().lower() for name in (*LOCAL, base, *more) if name.strip())


def host_of(header: str) -> str:
    """Return the name in a Host header, without its port, in lower case."""
    end = header.rfind("]")
    return header[: end + 1].lower() if end > 0 else header.partition(":")[0].lower()


def is_own(headers: Headers) -> bool:
    """Return whether one of this server's own pages made the request, by what the browser says.

    Browsers that do not send Sec-Fetch-Site send Origin with every writing request.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc.lower() == headers.get("host", "").lower()


def failed(error: Exception) -> PlainTextResponse:
    """Return the answer to a request on which the console itself failed."""
    words = f"The console failed ({type(error).__name__}); the API server's log names the place.\n"
    return PlainTextResponse(words, 500)


class Guard:
    """An ASGI application behind these checks."""

    def __init__(self, app: App, hosts: frozenset[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = ended = False

        async def guarded(message: Any) -> None:
            nonlocal begun, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer: App = self.refusal(scope["method"], Headers(scope=scope)) or self.app
        try:
            await answer(scope, receive, guarded)
        except Exception as error:  # noqa: BLE001
            # A foreign error's text may hold anything, also a person: only its kind and place are logged.
            last = traceback.extract_tb(error.__traceback__)[-1]
            LOG.error("console: %s in %s:%s", type(error).__name__, last.filename, last.lineno)
            if begun and not ended:
                raise RuntimeError("the console's answer broke off") from None
            if not begun:
                await failed(error)(scope, receive, guarded)

    def refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        """Return why a request is not looked at; None if it may pass."""
        if host_of(headers.get("host", "")) not in self.hosts:
            words = "This server does not answer to this name; ANGELIA_AIRFLOW_HOSTS adds names.\n"
            return PlainTextResponse(words, 400)
        if method in SAFE:
            return None
        if not is_own(headers):
            return PlainTextResponse("Only the console's own pages may do this.\n", 403)
        length = headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_AT_MOST:
            words = f"A request holds at most {BODY_BYTES_AT_MOST >> 20} MiB; your browser's Back leads on. "
            return PlainTextResponse(words + "`angelia audience list` takes longer lists.\n", 413)
        return None

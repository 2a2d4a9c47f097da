"""The access log: a JSON line a request, with its route's pattern in place of its address.

No line holds a path, a query, a body or a header, so none can hold a person. Lines are written once a second,
and the answers counted by route and status (`angelia.metrics`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from angelia import metrics

REQUESTS = "angelia_intake_requests_total"
TEXT = "Requests answered, by route and status; 0: the client hung up."
_FLUSH_S = 1.0


class AccessLog:
    """An ASGI application around another that notes and counts each answer; no file, no log."""

    def __init__(self, app: ASGIApp, path: Path | None, metrics_folder: Path | None = None) -> None:
        self._app, self._path = app, path
        self._lines: list[str] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._is_planned = False
        self._second, self._moment = -1, ""  # the last second that was written, and how
        file = metrics_folder / "angelia_intake.prom" if metrics_folder is not None else None
        self._totals = metrics.Totals(file, {REQUESTS: TEXT})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, and note its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self.flush(is_last=True)
            return
        began, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", None)
            client = scope.get("angelia_client")
            self.note(scope["method"], route, client, status, time.monotonic() - began)

    def note(self, method: str, route: str | None, client: str | None, status: int, seconds: float) -> None:
        """Note and count an answer; status 0: the client hung up."""
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
        self._counts[route or "other", str(status)] += 1
        if self._path is None:
            return
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            moment = datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")
            self._second, self._moment = second, moment.removesuffix("+00:00")
        method = method if method in ("GET", "POST", "PUT", "DELETE") else "other"
        # Written by hand, at a fifth of the encoder's cost: a route is our own text, a client a name without
        # anything that JSON would escape.
        self._lines.append(
            f'{{"ts": "{self._moment}.{rest // 1_000_000:03d}+00:00", "method": "{method}", '
            f'"route": {_text(route)}, "status": {status}, "ms": {1000 * seconds:.1f}, '
            f'"client": {_text(client)}}}\n'
        )

    def flush(self, *, is_last: bool = False) -> None:
        """Append what has gathered."""
        self._is_planned = False
        lines, self._lines = self._lines, []
        counts = [(REQUESTS, {"route": r, "status": s}, float(n)) for (r, s), n in self._counts.items()]
        with suppress(OSError):
            self._totals.add(counts, is_last=is_last)
        if lines and self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("".join(lines))
            except OSError:
                pass  # a full disk must not fail requests that are durable elsewhere


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'

"""The access log: a JSON line a request, with its route's pattern in place of its address.

No line holds a path, a query, a body or a header, so none can hold a person. Lines are written once a second.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FLUSH_S = 1.0


class AccessLog:
    """An ASGI application around another that notes each answer; no file, no log."""

    def __init__(self, app: ASGIApp, path: Path | None) -> None:
        self._app, self._path = app, path
        self._lines: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, and note its answer."""
        if scope["type"] != "http" or self._path is None:
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self.flush()
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
            self._note(scope, status, time.monotonic() - began)

    def flush(self) -> None:
        """Append what has gathered."""
        lines, self._lines = self._lines, []
        if lines and self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("".join(lines))
            except OSError:
                pass  # a full disk must not fail requests that are durable elsewhere

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
        line = {
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other",
            "route": getattr(scope.get("route"), "path", None),
            "status": status,  # 0 = the client hung up
            "ms": round(1000 * seconds, 1),
            "client": scope.get("angelia_client"),
        }
        self._lines.append(json.dumps(line) + "\n")

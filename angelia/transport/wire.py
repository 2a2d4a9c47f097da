"""Requests to a provider and their answers, as values; the client that carries them.

A `Request` is bytes and fixed headers, an `Answer` either a status with a body, or the reason for having
none. Everything rests on one distinction: `not_sent` (the provider cannot have seen it: safe to try again)
against `unknown` (it may have: ambiguous).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from angelia.transport.header_blocks import Headers

NOT_SENT, UNKNOWN = "not_sent", "unknown"


class Request(NamedTuple):
    """One request.

    `headers` are shared by many requests and compressed once; `extra` belong to this one. `own_path`: the
    path differs per request, so it stays out of the compression table.
    """

    path: bytes
    headers: Headers
    body: bytes
    extra: Headers = ()
    own_path: bool = False


class Answer(NamedTuple):
    """The answer to one request.

    `status` 0 means that none came; then `failure` says why, and whether the peer can have seen the request.
    `shared`: the number of the request, if several messages left by it; 0 = one of its own.
    """

    status: int
    body: bytes = b""
    headers: Headers = ()
    failure: str | None = None
    detail: str = ""
    shared: int = 0

    def header(self, name: bytes) -> str | None:
        """Return a header's value, or None."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


Done = Callable[[Any, Answer], None]  # takes a request's tag and its answer


class Transport(Protocol):
    """Carries requests and answers each exactly once.

    It calls `done(tag, answer)` later, from the event loop.
    """

    def submit(self, request: Request, authorization: bytes, done: Done, tag: Any) -> None:
        """Take one request. Never blocks; queues what the connections cannot take yet."""

    async def close(self) -> None:
        """Close the connections."""

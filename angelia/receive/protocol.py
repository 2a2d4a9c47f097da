"""HTTP that bears slow and many callers: a deadline per request, a limit on connections.

A uvicorn protocol. Surprise: uvicorn itself limits only idle connections; a caller who sends one byte of a
header now and then would keep a connection for ever.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_S = 12.0  # from a request's first byte to its last: longer than its body may take, to be answered
_MAX_CONNECTIONS = 4_096
_OTHER_FILES = 128


class DeadlineProtocol(HttpToolsProtocol):
    """A connection that ends if a request takes too long to arrive, or too many are open."""

    n_late = n_crowded = 0  # of all connections of this process

    def connection_made(self, transport: Any) -> None:
        """Begin, or end at once where there are too many."""
        super().connection_made(transport)
        self._deadline: asyncio.TimerHandle | None = None
        if len(self.connections) > max_connections():
            DeadlineProtocol.n_crowded += 1
            transport.abort()
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._arm()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """End a request: what remains is our own time."""
        self._disarm()
        super().on_message_complete()

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(REQUEST_S, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        DeadlineProtocol.n_late += 1
        self.transport.abort()


def max_connections() -> int:
    """Return how many connections this process may have, with files left for everything else."""
    return max(16, min(_MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES))

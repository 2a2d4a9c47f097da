"""Signals to a worker: SIGTERM and Ctrl-C let it drain.

Grain: a run. Surprise: after a drain no message is left of which nobody knows whether it was sent; a second
Ctrl-C ends the process at once: messages under way are then ambiguous, and marketing that is ambiguous is
not sent again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from angelia.output import progress


@contextmanager
def drains_on_signal(draining: asyncio.Event) -> Iterator[None]:
    """Set the event on SIGTERM and on the first Ctrl-C, while the running loop is within."""
    loop = asyncio.get_running_loop()

    def drain() -> None:
        progress("interrupted: no new request begins; what is under way is awaited; once more ends at once")
        draining.set()

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        loop.call_soon_threadsafe(drain)

    loop.add_signal_handler(signal.SIGTERM, draining.set)
    # Not by the loop, which forgets a handler that somebody else gave it before.
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        loop.remove_signal_handler(signal.SIGTERM)

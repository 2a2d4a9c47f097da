"""Channel documents applied after a plan was made: off, another provider or quota.

Grain: channel. Reads the log `channel_changes`, at most every ten seconds; writes nothing. Surprise: a log
that cannot be read changes nothing, since the plan's own document is still an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from angelia.contracts.sending import Micros
from angelia.errors import AngeliaError
from angelia.lake import Lake

log = logging.getLogger(__name__)
MAX_AGE_US = 10 * 1_000_000


class ChannelDocument(NamedTuple):
    """A channel's document, and its version in the catalog."""

    version: int
    body: dict[str, Any]


class ChannelChanges:
    """The newest document of each channel that an apply changed."""

    def __init__(self, lake: Lake, lease_now: Callable[[], Micros]) -> None:
        self._lake, self._lease_now = lake, lease_now
        self._newest: dict[str, ChannelDocument] = {}
        self._read_at: Micros | None = None

    def after(self, channel: str, known: ChannelDocument) -> ChannelDocument:
        """Return a channel's newest document: the one that is known, or a later version."""
        newest = self._newest.get(channel, known)
        return newest if newest.version > known.version else known

    async def look(self) -> None:
        """Read the log, unless that was done in the last ten seconds."""
        if self._read_at is None or self._lease_now() - self._read_at > MAX_AGE_US:
            self._read_at = self._lease_now()
            await asyncio.to_thread(self.read)

    def read(self) -> None:
        """Read the log."""
        try:
            entries = self._lake.read_log("channel_changes").to_pylist()
        except (AngeliaError, OSError, ValueError) as error:
            log.warning("channel_changes cannot be read: %s", type(error).__name__)
            return
        for entry in entries:
            # A removed channel is one that is switched off.
            body = json.loads(entry["body"]) if entry["body"] else {"enabled": False}
            self._newest[entry["channel"]] = ChannelDocument(entry["version"], body)

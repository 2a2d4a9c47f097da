"""Who must not be contacted: the `stops` and `suppressions` logs, at most 10 s old.

A worker that cannot read the logs waits, and defers what it was about to send. Surprise: an entry for an
*address* counts only if it is younger than the plan's closed day; an older one was known when the night chose
the address.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from angelia.contracts.sending import Micros
from angelia.errors import AngeliaError
from angelia.lake import Lake
from angelia.lake.store import Store

MAX_AGE_US = 10 * 1_000_000
REFRESH_S = 4.0


def address_key(store: Store) -> bytes:
    """Return the key of address hashes: `ANGELIA_ADDRESS_KEY`, else a random one in the lake.

    The random key is created once and read by all.
    """
    given = os.environ.get("ANGELIA_ADDRESS_KEY")
    if given:
        return given.encode()
    if not store.exists("keys/address"):
        store.create("keys/address", secrets.token_hex(32).encode())
    return store.read("keys/address")


def address_hash(key: bytes, channel: str, address: str) -> str:
    """Return the keyed hash by which suppressions name an address (32 hex digits)."""
    return hmac.new(key, f"{channel}\x1f{address}".encode(), hashlib.sha256).hexdigest()[:32]


def fold_stops(state: dict[str, bool], entries: Iterable[Mapping[str, object]]) -> None:
    """Update campaign -> is stopped by entries of the log `stops`, in the order of the log.

    The log's order decides, never `at_ts`: machines' clocks differ, and a stop must hold even if an earlier
    resume bears a later time.
    """
    for entry in entries:
        state[str(entry["campaign_id"])] = entry["action"] == "stop"


class Guards:
    """Both logs in memory; `version` changes when an entry arrived. Only new commits are read."""

    def __init__(self, lake: Lake, ds: str, lease_now: Callable[[], Micros]) -> None:
        self._lake, self._lease_now = lake, lease_now
        self._planned_until = datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(days=1)
        self._seen = {"stops": 0, "suppressions": 0}
        self._state: dict[str, bool] = {}
        self.stopped: frozenset[str] = frozenset()
        self.people: set[tuple[str, str | None]] = set()  # (user, channel or None for all)
        self.addresses: set[str] = set()
        self.version = 0
        self.read_at: Micros | None = None
        self.problem: str | None = None
        self._key: bytes | None = None
        self._reading: asyncio.Task[None] | None = None

    def is_fresh(self) -> bool:
        """Return whether the logs were read at most 10 s ago."""
        return self.read_at is not None and self._lease_now() - self.read_at <= MAX_AGE_US

    async def refresh(self) -> bool:
        """Read new entries in a thread, one reader at a time; return whether the logs are fresh."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._refresh())
        await asyncio.shield(self._reading)
        return self.is_fresh()

    async def _refresh(self) -> None:
        began = self._lease_now()
        try:
            changed = await asyncio.to_thread(self._read)
        except (AngeliaError, OSError, ValueError) as error:
            self.problem = type(error).__name__
            return
        self.problem, self.read_at = None, began
        if changed:
            self.version += 1

    def _read(self) -> bool:
        changed = False
        for name in ("stops", "suppressions"):
            head = self._lake.head(name, log="0")
            newest = head.number if head else 0
            for number in range(self._seen[name] + 1, newest + 1):
                table = self._lake.read(self._lake.as_of(name, number, log="0"))
                (self._stops if name == "stops" else self._suppressions)(table.to_pylist())
                self._seen[name] = number
                changed = True
        return changed

    def _stops(self, entries: Sequence[dict[str, object]]) -> None:
        fold_stops(self._state, entries)
        self.stopped = frozenset(name for name, stopped in self._state.items() if stopped)

    def _suppressions(self, entries: Sequence[dict[str, object]]) -> None:
        for entry in entries:
            channel = str(entry["channel"]) if entry["channel"] else None
            since = entry["since_ts"]
            assert isinstance(since, datetime)
            if not entry["address_hash"]:
                self.people.add((str(entry["user_id"]), channel))
            elif since >= self._planned_until:
                self.addresses.add(str(entry["address_hash"]))

    def blocked(
        self, campaigns: Sequence[str], users: Sequence[str], channel: str, addresses: Sequence[str]
    ) -> list[str | None]:
        """Return per row the reason not to send, or None."""
        reasons: list[str | None] = [None] * len(campaigns)
        if self.stopped:
            stopped = self.stopped
            reasons = ["stopped" if campaign in stopped else None for campaign in campaigns]
        if self.people:
            people = self.people
            for i, user in enumerate(users):
                if (user, None) in people or (user, channel) in people:
                    reasons[i] = "suppressed"
        if self.addresses:
            key = self._key = self._key or address_key(self._lake.store)
            for i, address in enumerate(addresses):
                if address_hash(key, channel, address) in self.addresses:
                    reasons[i] = "address_gone"
        return reasons

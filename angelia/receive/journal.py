"""What callers said, durable before they are answered, and said twice only once.

Writes `received/{day}/{name}` by conditional create (name = hash of the caller's own request id) and `folded/{day}/{name}` once all of it is in the
datasets. Grain: request. Surprises: an event may come before its part is committed to the ledger; it stays here until it can be placed. No
address is in here: a reason that is no code becomes `other`, an id with an @ in it its hash. Days are deleted when nobody looks at them any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from angelia.delivery.worker.events import code
from angelia.lake.store import Store

KINDS = ("delivered", "opened", "bounced", "unsubscribed", "complaint", "stop")
OPT_OUTS = ("unsubscribed", "complaint", "stop")
MAX_EVENTS = 1_000
KEEP_DAYS = 8  # events older than this belong to no window, and journals older than this are not looked at
_AHEAD = timedelta(minutes=5)


@dataclass(frozen=True)
class Event:
    """One thing that happened to one dispatch; `id` is the provider's own, and the idempotency key."""

    id: str
    dispatch_id: str
    kind: str
    at_us: int
    reason: str | None = None


def parse(body: bytes, now: datetime) -> list[Event]:
    """Return the events of a request body `{"events": [{id, dispatch_id, kind, at, reason?}, …]}`.

    Raises:
        ValueError: it is anything else; the text names the field and never its value.
    """
    document = json.loads(body)
    if not isinstance(document, dict) or set(document) != {"events"} or not isinstance(document["events"], list):
        raise ValueError("the body is not an object with a list called events")
    if not 1 <= len(document["events"]) <= MAX_EVENTS:
        raise ValueError(f"events: 1 to {MAX_EVENTS} at a time")
    return [_event(raw, number, now) for number, raw in enumerate(document["events"])]


def _event(raw: Any, number: int, now: datetime) -> Event:
    where = f"events[{number}]"
    if not isinstance(raw, dict) or not {"id", "dispatch_id", "kind", "at"} <= set(raw) <= {"id", "dispatch_id", "kind", "at", "reason"}:
        raise ValueError(f"{where}: it has id, dispatch_id, kind, at, and maybe reason")
    if not all(isinstance(raw[name], str) for name in raw):
        raise ValueError(f"{where}: every value is a text")
    if not (1 <= len(raw["id"]) <= 200 and raw["id"].isprintable()):
        raise ValueError(f"{where}.id: 1 to 200 printable characters")
    if len(raw["dispatch_id"]) != 32 or not set(raw["dispatch_id"]) <= set("0123456789abcdef"):
        raise ValueError(f"{where}.dispatch_id: 32 hex digits")
    if raw["kind"] not in KINDS:
        raise ValueError(f"{where}.kind: one of {', '.join(KINDS)}")
    try:
        at = datetime.fromisoformat(raw["at"])
    except ValueError:
        raise ValueError(f"{where}.at: an ISO time with a zone") from None
    if at.tzinfo is None or not now - timedelta(days=KEEP_DAYS) <= at <= now + _AHEAD:
        raise ValueError(f"{where}.at: an ISO time with a zone, of the last {KEEP_DAYS} days")
    reason = raw.get("reason")
    if reason is not None and not (len(reason) <= 64 and reason.isascii() and reason.isprintable()):
        raise ValueError(f"{where}.reason: at most 64 printable ASCII characters")
    # Mail systems like to name things after mailboxes.
    name = hashlib.sha256(raw["id"].encode()).hexdigest()[:32] if "@" in raw["id"] else raw["id"]
    return Event(name, raw["dispatch_id"], raw["kind"], int(at.timestamp() * 1e6), None if reason is None else code(reason))


class Journal:
    """The requests that were taken."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, request: str, events: list[Event], now: datetime) -> bool:
        """Keep a request's events; False = it was taken before. When this returns they are durable."""
        name = hashlib.sha256(request.encode()).hexdigest()[:32]
        today = now.astimezone(UTC).date()
        if any(self._store.exists(f"received/{today - timedelta(days=back)}/{name}") for back in range(KEEP_DAYS)):
            return False
        return self._store.create(f"received/{today}/{name}", json.dumps([asdict(event) for event in events]).encode())

    def pending(self, now: datetime) -> Iterator[tuple[str, list[Event]]]:
        """Yield the requests not yet folded, oldest day first: (key, events)."""
        today = now.astimezone(UTC).date()
        for back in reversed(range(KEEP_DAYS)):
            day = str(today - timedelta(days=back))
            folded = set(self._store.children(f"folded/{day}"))
            for name in self._store.children(f"received/{day}"):
                if name not in folded:
                    yield f"{day}/{name}", [Event(**raw) for raw in json.loads(self._store.read(f"received/{day}/{name}"))]

    def forget(self, now: datetime) -> None:
        """Delete the days that nobody looks at any more."""
        oldest = str(now.astimezone(UTC).date() - timedelta(days=KEEP_DAYS))
        for folder in ("received", "folded"):
            for day in self._store.children(folder):
                if day < oldest:
                    self._store.delete_folder(f"{folder}/{day}")

    def folded(self, key: str) -> None:
        """Mark a request as wholly placed."""
        self._store.create(f"folded/{key}", b"{}")

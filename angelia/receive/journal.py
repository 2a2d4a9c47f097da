"""What callers said, durable before they are answered, and said twice only once.

Writes `received/{day}/{name}` by conditional create (name = hash of the caller's own request id) and
`folded/{day}/{name}` once all of it is in the datasets. Grain: request. Surprises: an event may come before
its part is committed to the ledger; it stays here until it can be placed. No address is in here: a reason
that is no code becomes `other`, an id with an @ in it its hash. Days are deleted when nobody looks at them
any more, those with an opt-out not yet placed never. Requests carry a checksum: a damaged one is named, and
stays. A `folded` mark says all it says by its name, so what is in it is not read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from angelia.contracts.sending import ANSWER_DAYS
from angelia.delivery.manifest.objects import create_json, fields_of, from_bytes
from angelia.delivery.sending.events import code
from angelia.errors import Corrupt
from angelia.lake.store import Store

KINDS = ("delivered", "displayed", "opened", "bounced", "unsubscribed", "complaint", "stop")
OPT_OUTS = ("unsubscribed", "complaint", "stop")
MAX_EVENTS = 1_000
KEEP_DAYS = ANSWER_DAYS  # events older than this belong to no window, journals older than this are not read
_AHEAD = timedelta(minutes=5)


@dataclass(frozen=True)
class Event:
    """One thing that happened to one dispatch; `id` is the caller's own number of it.

    Callers number as they like: only caller, dispatch, kind and id together are the idempotency key.
    """

    id: str
    dispatch_id: str
    kind: str
    at_us: int
    reason: str | None = None
    caller: str = ""  # whose secret signed it; empty = the single secret, or a link in a mail

    @property
    def key(self) -> str:
        """What is said twice has the same."""
        return ":".join([*filter(None, (self.caller,)), self.dispatch_id, self.kind, self.id])


def parse(body: bytes, now: datetime, caller: str = "") -> tuple[list[Event], list[str]]:
    """Return the events of a request's body, and the reason for each item that was refused.

    The body is `{"events": [{id, dispatch_id, kind, at, reason?}, …]}`. A bad item refuses itself only, so
    that a complaint beside it is not lost. Refusals name position and field, never a value.

    Raises:
        ValueError: the body is not such a list.
    """
    document = json.loads(body)
    if (
        not isinstance(document, dict)
        or set(document) != {"events"}
        or not isinstance(document["events"], list)
    ):
        raise ValueError("the body is not an object with a list called events")
    if not 1 <= len(document["events"]) <= MAX_EVENTS:
        raise ValueError(f"events: 1 to {MAX_EVENTS} at a time")
    events, refused = [], []
    for number, raw in enumerate(document["events"]):
        try:
            events.append(replace(_event(raw, number, now), caller=caller))
        except (ValueError, OverflowError) as error:
            refused.append(
                str(error) if type(error) is ValueError else f"events[{number}]: a value is out of range"
            )
    return events, refused


def _event(raw: Any, number: int, now: datetime) -> Event:
    where = f"events[{number}]"
    if not isinstance(raw, dict) or not {"id", "dispatch_id", "kind", "at"} <= set(raw) <= {
        "id",
        "dispatch_id",
        "kind",
        "at",
        "reason",
    }:
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
    # Mail systems may use a mailbox as an id, and a journal holds no address.
    name = hashlib.sha256(raw["id"].encode()).hexdigest()[:32] if "@" in raw["id"] else raw["id"]
    return Event(
        name,
        raw["dispatch_id"],
        raw["kind"],
        int(at.timestamp() * 1e6),
        None if reason is None else reason_code(reason),
    )


_ENHANCED = re.compile(r"(?<![0-9.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")


def reason_code(text: str) -> str:
    """Return a reason as a code: itself, the status code (RFC 3463) in its text, or `other`."""
    word = code(text[:64]) if len(text) <= 64 and text.isascii() and text.isprintable() else "other"
    within = _ENHANCED.search(text[:1000]) if word == "other" else None
    return within[0] if within else word


class Journal:
    """The requests that were taken."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, request: str, events: list[Event], now: datetime) -> bool:
        """Keep a request's events; False = it was taken before. When this returns they are durable.

        Raises:
            Corrupt: it was taken before, and what was kept is damaged: the caller must not be told that all
                is well.
        """
        name = hashlib.sha256(request.encode()).hexdigest()[:32]
        today = now.astimezone(UTC).date()
        for back in range(KEEP_DAYS):
            key = f"received/{today - timedelta(days=back)}/{name}"
            if self._store.exists(key):
                self._events(key)
                return False
        return create_json(
            self._store, f"received/{today}/{name}", {"events": [asdict(event) for event in events]}
        )

    def pending(self, damaged: list[Corrupt] | None = None) -> Iterator[tuple[str, list[Event]]]:
        """Yield the requests not yet folded, oldest day first, as (key, events).

        A damaged request goes into the list given, and holds up no other.
        """
        for key in self._unfolded():
            try:
                yield key, self._events(f"received/{key}")
            except Corrupt as error:
                if damaged is not None:
                    damaged.append(error)

    def _unfolded(self) -> Iterator[str]:
        for day in sorted(self._store.children("received")):
            folded = set(self._store.children(f"folded/{day}"))
            yield from (
                f"{day}/{name}" for name in self._store.children(f"received/{day}") if name not in folded
            )

    def _events(self, key: str) -> list[Event]:
        document = from_bytes(self._store.read(key), key, list_as="events")
        with fields_of(key):
            events = [Event(**{**raw, "at_us": int(raw["at_us"])}) for raw in document["events"]]
            if not {event.kind for event in events} <= set(KINDS):
                raise ValueError("not a kind of event")
        return events

    @staticmethod
    def is_old(key: str, now: datetime) -> bool:
        """Say whether a request is of a day that is looked at for its opt-outs only."""
        return key.partition("/")[0] < str(now.astimezone(UTC).date() - timedelta(days=KEEP_DAYS))

    def forget(self, now: datetime) -> None:
        """Delete the days that no fold reads any more.

        A day that holds, or may hold, an opt-out not yet placed stays.
        """
        without = {
            key for key, events in self.pending() if not any(event.kind in OPT_OUTS for event in events)
        }
        # A damaged request may hold an opt-out, so it waits for its repair.
        waiting = {key.partition("/")[0] for key in self._unfolded() if key not in without}
        for folder in ("received", "folded"):
            for day in self._store.children(folder):
                if self.is_old(day, now) and day not in waiting:
                    self._store.delete_folder(f"{folder}/{day}")

    def folded(self, key: str) -> None:
        """Mark a request as wholly placed."""
        create_json(self._store, f"folded/{key}", {})

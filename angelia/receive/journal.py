"""What callers reported, durable before they are answered.

Writes `received/{day}/{name}` by conditional create and moves it to `folded/{day}/{name}` once all of it is
in the datasets, so a fold lists only what is new. Grain: group of events, namely of all requests that arrived
while the disk was busy with the group before. Surprises: an event may arrive before its part is committed to
the ledger; it stays here until it can be placed. No address is stored: a reason that is no code becomes
`other`, an id that contains an @ is replaced by its hash, a phone number by its keyed hash. A day is deleted
once no fold reads it any more, but never while it holds an opt-out that is not placed. Groups carry a
checksum: a damaged one is named, and stays. An event that is reported twice may stand here twice; folding
counts it once. Older versions left a folded group where it was, and put an empty mark beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from angelia.contracts.devices.endpoints import ALLOWED, APP_VERSION, PERMISSIONS
from angelia.contracts.sending import ANSWER_DAYS
from angelia.delivery.manifest.objects import create_json, fields_of, from_bytes
from angelia.delivery.sending.events import code
from angelia.errors import Corrupt, NotFound
from angelia.lake.store import Store

KINDS = ("delivered", "displayed", "opened", "bounced", "unsubscribed", "complaint", "stop")
OPT_OUTS = ("unsubscribed", "complaint", "stop")
MAX_EVENTS = 1_000
KEEP_DAYS = ANSWER_DAYS  # events older than this belong to no window, journals older than this are not read
_AHEAD = timedelta(minutes=5)
_NEEDED = frozenset({"id", "dispatch_id", "kind", "at"})
OF_DEVICE = ("app_version", "permission")
_MAYBE = frozenset({"reason", *OF_DEVICE})
_HEX = frozenset("0123456789abcdef")
_VERSION = re.compile(APP_VERSION.removesuffix("$"))


@dataclass(slots=True)
class Event:
    """One thing that happened to one dispatch; `id` is the caller's own number of it.

    Callers choose their own numbers, so caller, dispatch, kind and id together are the idempotency key. A
    text message that says STOP names its sender instead of a dispatch: then `address_hash` is set, and the
    caller is a channel.
    """

    id: str
    dispatch_id: str
    kind: str
    at_us: int
    reason: str | None = None
    caller: str = ""  # whose secret signed it; empty = the single secret, or a link in a mail
    address_hash: str | None = None
    is_arrival: bool = False  # `at_us` is when it came here: a repetition of it bears another time
    # What the phone said of itself, so of the address that the message went to.
    app_version: str | None = None
    permission: str | None = None
    person: str = ""  # keyed hash of who told it by their own token; the dispatch must be theirs

    @property
    def key(self) -> str:
        """The idempotency key: an event that is reported twice has the same one."""
        about = self.dispatch_id or self.address_hash or ""
        return ":".join([*filter(None, (self.caller, self.person)), about, self.kind, self.id])

    def to_json(self) -> dict[str, object]:
        """Return what is kept: the fields that are set."""
        kept: dict[str, object] = {
            "id": self.id, "dispatch_id": self.dispatch_id, "kind": self.kind, "at_us": self.at_us
        }  # fmt: skip
        for name in ("reason", "caller", "address_hash", "is_arrival", *OF_DEVICE, "person"):
            value = getattr(self, name)
            if value:
                kept[name] = value
        return kept


def parse(
    body: bytes,
    now: datetime,
    caller: str = "",
    *,
    kinds: Sequence[str] = KINDS,
    most: int = MAX_EVENTS,
) -> tuple[list[Event], list[str]]:
    """Return the events of a request's body, and the reason for each item that was refused.

    The body is `{"events": [{id, dispatch_id, kind, at, reason?, app_version?, permission?}, …]}`. A bad
    item refuses itself only, so that a complaint beside it is not lost. Refusals name position and field,
    never a value.

    Raises:
        ValueError: the body is not such a list.
    """
    document = json.loads(body)
    # What is no list of ours at all is the request's fault; from here on each item answers for itself.
    if (
        not isinstance(document, dict)
        or set(document) != {"events"}
        or not isinstance(document["events"], list)
    ):
        raise ValueError("the body is not an object with a list called events")
    if not 1 <= len(document["events"]) <= most:
        raise ValueError(f"events: 1 to {most} at a time")
    events, refused = [], []
    for number, raw in enumerate(document["events"]):
        try:
            events.append(_event(raw, number, now, caller, kinds))
        except (ValueError, OverflowError) as error:
            refused.append(
                str(error) if type(error) is ValueError else f"events[{number}]: a value is out of range"
            )
    return events, refused


def _event(raw: Any, number: int, now: datetime, caller: str, kinds: Sequence[str]) -> Event:
    where = f"events[{number}]"
    if not isinstance(raw, dict) or not _NEEDED <= raw.keys() <= _NEEDED | _MAYBE:
        raise ValueError(
            f"{where}: it has id, dispatch_id, kind, at, and maybe reason, app_version, permission"
        )
    if not all(isinstance(value, str) for value in raw.values()):
        raise ValueError(f"{where}: every value is a text")
    if not (1 <= len(raw["id"]) <= 200 and raw["id"].isprintable()):
        raise ValueError(f"{where}.id: 1 to 200 printable characters")
    if not is_dispatch(raw["dispatch_id"]):
        raise ValueError(f"{where}.dispatch_id: 32 hex digits")
    if raw["kind"] not in kinds:
        raise ValueError(f"{where}.kind: one of {', '.join(kinds)}")
    try:
        at = datetime.fromisoformat(raw["at"])
    except ValueError:
        raise ValueError(f"{where}.at: an ISO time with a zone") from None
    if at.tzinfo is None or not is_recent(at, now):
        raise ValueError(f"{where}.at: an ISO time with a zone, of the last {KEEP_DAYS} days")
    # What is left out passes by a word that fits.
    if not _VERSION.fullmatch(raw.get("app_version", "0")):
        raise ValueError(
            f"{where}.app_version: 1 to 32 letters, digits, dots, hyphens, underscores, plus signs"
        )
    if raw.get("permission", ALLOWED) not in PERMISSIONS:
        raise ValueError(f"{where}.permission: one of {', '.join(PERMISSIONS)}")
    reason = raw.get("reason")
    return Event(
        id_code(raw["id"]),
        raw["dispatch_id"],
        raw["kind"],
        int(at.timestamp() * 1e6),
        None if reason is None else reason_code(reason),
        caller,
        app_version=raw.get("app_version"),
        permission=raw.get("permission"),
    )


def is_dispatch(text: object) -> bool:
    """Say whether a value has the form of a dispatch id: 32 hex digits."""
    return isinstance(text, str) and len(text) == 32 and set(text) <= _HEX


def is_recent(at: datetime, now: datetime) -> bool:
    """Say whether an event of this time belongs to a window that may still be open."""
    return now - timedelta(days=KEEP_DAYS) <= at <= now + _AHEAD


def id_code(text: str) -> str:
    """Return an id as it is kept: one with an @ in it may be a mailbox, and becomes its hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:32] if "@" in text else text


_ENHANCED = re.compile(r"(?<![0-9.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])")


def reason_code(text: str) -> str:
    """Return a reason as a code: itself, the status code (RFC 3463) in its text, or `other`."""
    word = code(text[:64]) if len(text) <= 64 and text.isascii() and text.isprintable() else "other"
    within = _ENHANCED.search(text[:1000]) if word == "other" else None
    return within[0] if within else word


class Journal:
    """The groups of events that were taken."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, events: Sequence[Event], day: datetime | str) -> str:
        """Keep events under a day; return the group's key. When this returns they are durable."""
        name = day if isinstance(day, str) else str(day.astimezone(UTC).date())
        key = f"{name}/{secrets.token_hex(16)}"
        create_json(self._store, f"received/{key}", {"events": [event.to_json() for event in events]})
        return key

    def stands(self, key: str) -> bool:
        """Say whether a group can still be read; if not, its events must be taken again."""
        for folder in ("received", "folded"):
            try:
                return bool(self._events(key, folder))
            except Corrupt:
                return False
            except NotFound:
                continue
        return False

    def pending(self, damaged: list[Corrupt] | None = None) -> Iterator[tuple[str, list[Event]]]:
        """Yield the groups not yet folded, oldest day first, as (key, events).

        A damaged group is added to the given list, and stops no other.
        """
        for key in self._unfolded():
            try:
                yield key, self._events(key)
            except Corrupt as error:
                if damaged is not None:
                    damaged.append(error)
            except NotFound:
                continue  # another process folded it meanwhile

    def _unfolded(self) -> Iterator[str]:
        for day in sorted(self._store.children("received")):
            for name in self._store.children(f"received/{day}"):
                key = f"{day}/{name}"
                # Marked by an older version, or by a process that died before it could take the group away.
                if self._store.exists(f"folded/{key}"):
                    self._store.delete(f"received/{key}")
                else:
                    yield key

    def _events(self, name: str, folder: str = "received") -> list[Event]:
        key = f"{folder}/{name}"
        document = from_bytes(self._store.read(key), key, list_as="events")
        with fields_of(key):
            events = [Event(**{**raw, "at_us": int(raw["at_us"])}) for raw in document["events"]]
            if not {event.kind for event in events} <= set(KINDS):
                raise ValueError("not a kind of event")
        return events

    @staticmethod
    def is_old(key: str, now: datetime) -> bool:
        """Say whether a group's day is read for its opt-outs only."""
        return key.partition("/")[0] < str(now.astimezone(UTC).date() - timedelta(days=KEEP_DAYS))

    def forget(self, now: datetime) -> None:
        """Delete the days that no fold reads any more.

        A day that holds, or may hold, an opt-out not yet placed stays.
        """
        for folder in ("received", "folded"):
            for day in self._store.children(folder):
                if self.is_old(day, now) and not (folder == "received" and self._is_awaited(day)):
                    self._store.delete_folder(f"{folder}/{day}")

    def _is_awaited(self, day: str) -> bool:
        """Say whether a day may have an opt-out that is not placed; a damaged group may."""
        try:
            return any(
                event.kind in OPT_OUTS
                for name in self._store.children(f"received/{day}")
                for event in self._events(f"{day}/{name}")
            )
        except Corrupt:
            return True

    def folded(self, key: str) -> None:
        """Move a group that is wholly placed to `folded/`, where it stays until its day is over."""
        with suppress(NotFound):  # another process did the same
            self._store.create(f"folded/{key}", self._store.read(f"received/{key}"))
            self._store.delete(f"received/{key}")

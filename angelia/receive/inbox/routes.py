"""The inbox over HTTP: workers hand messages in, signed-in apps read and mark them.

`POST /inbox/messages` (the worker's secret) keeps a message, `GET /inbox` (a person's token) returns theirs,
`POST /inbox/marks` (the same) says which were displayed or opened. Surprise: a mark is an event of the
journal like any other, so it becomes a receipt; a dispatch that is not this person's is refused, and the rest
taken.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from angelia.contracts.sources import CHANNEL, ID
from angelia.receive.callbacks.base import Reported, of_json
from angelia.receive.inbox.store import InboxMessage, InboxStore
from angelia.receive.inbox.tokens import person_of
from angelia.receive.journal import Event, is_dispatch

CALLER = "inbox"
MAX_MARKS = 200
_PERSON, _CHANNEL = re.compile(ID), re.compile(CHANNEL)
_TEXTS, _MAYBE = ("user_id", "channel", "dispatch_id", "title", "body"), ("link", "collapse_key")


@dataclass(frozen=True)
class InboxTrust:
    """The worker's secret, and the one that signs people's tokens."""

    secret: str
    person_secret: str

    def is_worker(self, authorization: str) -> bool:
        """Say whether a worker of ours asks."""
        return hmac.compare_digest(f"Bearer {self.secret}".encode(), authorization.encode("utf-8", "replace"))

    def person(self, authorization: str, now: datetime) -> str | None:
        """Return the person who asks, or None."""
        return person_of(authorization, self.person_secret, now)


def message_of(body: bytes, now: datetime) -> InboxMessage:
    """Return the message of a worker's request. Raises: ValueError: it has another form."""
    raw = of_json(body)
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name), str) for name in _TEXTS):
        raise ValueError("texts")
    if not all(isinstance(raw.get(name), str | None) for name in _MAYBE):
        raise ValueError("texts")
    ttl_s = raw.get("ttl_s")
    if type(ttl_s) is not int or not 1 <= ttl_s <= 30 * 86_400:
        raise ValueError("ttl_s")
    is_named = _PERSON.fullmatch(raw["user_id"]) and _CHANNEL.fullmatch(raw["channel"])
    if not is_named or not is_dispatch(raw["dispatch_id"]):
        raise ValueError("ids")
    texts = {name: raw[name] for name in _TEXTS} | {name: raw.get(name) for name in _MAYBE}
    return InboxMessage(**texts, stored_ts=now, expires_ts=now + timedelta(seconds=ttl_s))


def view_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as the app reads it."""
    shown = {name: row[name] for name in ("dispatch_id", "title", "body", "link", "state")}
    return shown | {name[:-3] + "_at": row[name].isoformat() for name in ("stored_ts", "expires_ts")}


def marks_of(
    body: bytes, store: InboxStore, user: str, now: datetime
) -> tuple[Reported, dict[str, list[str]]]:
    """Return the events of a person's marks, and the dispatches by state. Raises: ValueError."""
    raw = of_json(body)
    if not isinstance(raw, dict) or not raw or not set(raw) <= {"displayed", "opened"}:
        raise ValueError("displayed and opened")
    if not all(isinstance(ids, list) for ids in raw.values()) or sum(map(len, raw.values())) > MAX_MARKS:
        raise ValueError(f"lists of at most {MAX_MARKS}")
    theirs = {row["dispatch_id"] for row in store.messages_of(user)}
    reported, marks, at_us = Reported(), dict[str, list[str]](), int(now.timestamp() * 1e6)
    for state, ids in raw.items():
        for number, dispatch in enumerate(ids):
            if not isinstance(dispatch, str) or dispatch not in theirs:
                reported.refused.append(f"{state}[{number}]: not in this inbox")
                continue
            marks.setdefault(state, []).append(dispatch)
            reported.events.append(Event(state, dispatch, state, at_us, None, CALLER, is_arrival=True))
    return reported, marks

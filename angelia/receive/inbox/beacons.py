"""What a signed-in app tells of its person's pushes: delivered, displayed, opened.

`POST /beacons` takes it with the person's token, as the inbox does, so that no backend of the shop stands
between. Grain: event. Surprise: whether a dispatch is the person's is known only where it is looked up, so a
foreign one is taken here and left out by the fold (`foreign`); whoever tells of it learns nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from angelia.receive.callbacks.base import Reported
from angelia.receive.inbox.tokens import person_of
from angelia.receive.journal import Event, parse

CALLER = "phones"
PERSON = "person"  # in place of a channel, where a person's id is hashed as addresses are
KINDS = ("delivered", "displayed", "opened")
MAX_BEACONS = 200  # a person's app has no more to tell at once

Hashed = Callable[[str], str]  # of a person's id, by the lake's key


@dataclass(frozen=True)
class BeaconTrust:
    """The secret of people's tokens, and the hash that stands for a person in the journal."""

    person_secret: str
    hashed: Hashed

    def person(self, authorization: str, now: datetime) -> str | None:
        """Return the hash of the person who tells, or None."""
        person = person_of(authorization, self.person_secret, now)
        return None if person is None else self.hashed(person)


def beacons_of(body: bytes, person: str, now: datetime) -> Reported:
    """Return the events of an app's request; `person` is the keyed hash of who asks.

    Raises:
        ValueError: the body is not a list of events, or has too many.
    """
    events, refused = parse(body, now, CALLER, kinds=KINDS, most=MAX_BEACONS)
    for event in events:
        event.person = person
    return Reported(events, refused)


def foreign(
    events: Mapping[str, Event], facts: Mapping[str, Mapping[str, Any]], hashed: Hashed
) -> frozenset[str]:
    """Return the keys of events that a person told of another person's dispatch."""
    return frozenset(
        key
        for key, event in events.items()
        if event.person
        and event.dispatch_id in facts
        and hashed(str(facts[event.dispatch_id]["user_id"])) != event.person
    )

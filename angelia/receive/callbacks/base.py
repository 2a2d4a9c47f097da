"""What a provider's callback is: a signature to check, a documented body to read.

Each provider's module has a class with the three methods of `Reader`. Reads and writes nothing. Surprise: an
item of an undocumented form is refused alone, by its position; none of its values is repeated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, parse_qsl

from angelia.contracts.ids import is_list, listed_id
from angelia.errors import InvalidInput
from angelia.receive.journal import Event, id_code, is_dispatch, is_recent, reason_code

MAX_ITEMS = 1_000  # Mandrill's limit is the highest documented
HARD = "hard"  # the reason of a bounce that ends an address


@dataclass(frozen=True, slots=True)
class Callback:
    """A request as it came; `query` is as it stands in the address, undecoded."""

    headers: Mapping[str, str]
    query: str
    body: bytes
    now: datetime

    def form(self) -> list[tuple[str, str]]:
        """Return the fields of a form, empty ones too. Raises: ValueError."""
        return parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=200)

    def parameter(self, name: str) -> str:
        """Return a parameter of the address, or nothing."""
        return parse_qs(self.query).get(name, [""])[0]


@dataclass(slots=True)
class Reported:
    """What a callback said: events, refused items, and how many items mean nothing to us."""

    events: list[Event] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    ignored: int = 0


class Reader(Protocol):
    """One provider's account, whose callbacks may be believed."""

    is_blocking: bool  # the signature's check may ask another server

    def looks_signed(self, headers: Mapping[str, str], query: str, now: datetime) -> bool:
        """Say before the body is read whether it may be signed."""

    def is_signed(self, request: Callback) -> bool:
        """Say whether the provider wrote this."""

    def read(self, request: Callback) -> Reported:
        """Return what it says. Raises: ValueError: it has another form."""


class NotOurs(ValueError):
    """An item is not as documented; the text names the field."""


def read_items(items: object, make: Callable[[Any], Event | None], most: int = MAX_ITEMS) -> Reported:
    """Return the events of a list's items, a verdict for each.

    Raises:
        ValueError: it is no list.
    """
    if not isinstance(items, Sequence) or isinstance(items, str) or len(items) > most:
        raise ValueError(f"a list of at most {most} items")
    reported = Reported()
    for number, raw in enumerate(items):
        try:
            event = make(raw)
        except NotOurs as error:
            reported.refused.append(f"[{number}]: {error}")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            reported.refused.append(f"[{number}]: not as documented")
        else:
            if event is None:
                reported.ignored += 1
            else:
                reported.events.append(event)
    return reported


def make_event(
    caller: str,
    name: str,
    dispatch: object,
    kind: str,
    now: datetime,
    *,
    at: datetime | None = None,
    reason: str | None = None,
    token: object = None,
) -> Event:
    """Return an event by the provider's own id; without a time it is dated by its arrival.

    Of a list, `token` says whose message it is; it is hashed here, and kept nowhere.

    Raises:
        NotOurs: the dispatch is none of ours, or the time is too far from now.
    """
    # A list's id is shared by many, so only the token tells whose message it is.
    if isinstance(dispatch, str) and is_list(dispatch):
        if not isinstance(token, str) or not token:
            raise NotOurs("no token for a list's message")
        dispatch = listed_id(dispatch, token)
    if not is_dispatch(dispatch):
        raise NotOurs("no dispatch id")
    if at is not None and not is_recent(at, now):
        raise NotOurs("too old, or in the future")
    code = id_code(name)
    return Event(
        code if len(code) <= 200 and code.isprintable() else hashlib.sha256(code.encode()).hexdigest()[:32],
        str(dispatch),
        kind,
        int((at or now).timestamp() * 1e6),
        None if reason is None else reason_code(reason),
        caller,
        is_arrival=at is None,
    )


def of_ms(value: object) -> datetime:
    """Return the instant of a count of milliseconds. Raises: ValueError."""
    return datetime.fromtimestamp(int(str(value)) / 1000, UTC)


def of_json(body: bytes | str) -> Any:
    """Return what a text of JSON holds. Raises: ValueError."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("no JSON") from None


def same(wanted: str, given: str) -> bool:
    """Compare two secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))


def form_signature(secret: str, url: str, fields: Iterable[tuple[str, str]]) -> str:
    """Return HMAC-SHA1 over address and sorted fields, as Twilio and Mandrill sign."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def text_of(account: Mapping[str, Any], name: str, caller: str) -> str:
    """Return a text of an account's document. Raises: InvalidInput."""
    value = account.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(
            f"ANGELIA_RECEIVE_CREDENTIALS: callbacks.{caller} lacks {name}",
            fix="docs/DELIVERY.md shows what each provider's callback needs",
        )
    return value

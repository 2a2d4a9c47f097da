"""What a channel adapter is: it builds one request and classifies one answer.

Retry, pacing, deadline, breaker and ledger live in `sending/` and `worker/`, once for all channels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from angelia.contracts.outcomes import MARKETING
from angelia.errors import InvalidInput
from angelia.transport.wire import Answer, Request, Transport

# What one answer means. `auth` = our token is stale: refresh it once and try again; `throttled` = slow the
# whole channel down; `gone` closes this address, `opted_out` this channel for this person until they opt in;
# `spent`: the count of the day is used up for all, `full`: for this receiver; other channels may take them.
ACCEPTED, RETRY, THROTTLED, GONE, OPTED_OUT, REJECTED, HALT, AUTH, AMBIGUOUS, SPENT, FULL = (
    "accepted",
    "retry",
    "throttled",
    "gone",
    "opted_out",
    "rejected",
    "halt",
    "auth",
    "ambiguous",
    "spent",
    "full",
)


class Message(NamedTuple):
    """What an adapter needs to know of one row; texts are rendered, nothing here is a template."""

    address: str
    dispatch_id: str
    title: str
    body: str
    link: str | None
    collapse_key: str | None
    ttl_s: int
    is_urgent: bool
    wire_class: str = MARKETING  # as which providers count it
    list_id: str | None = None  # what it shares with its campaign's other messages; None = nothing


REASON_CHARS, PROVIDER_ID_CHARS = 64, 256
# The year 2100: a later instant comes of a mistaken unit, and a later year breaks dates.
_LAST_MOMENT_US = 4_102_444_800_000_000


def _text(value: object, chars: int) -> str | None:
    """Return what can be stored of a provider's text, None for nothing.

    That is valid Unicode without control characters, cut to a length.
    """
    if value is None:
        return None
    clean = str(value).encode("utf-8", "replace").decode("utf-8")
    # Nearly all texts are: to look at each character of a message's id took 4 µs of each message.
    if clean.isprintable():
        return clean[:chars]
    return "".join(one if one.isprintable() else "?" for one in clean[:chars])


@dataclass(frozen=True)
class Verdict:
    """What an answer means: a kind, the provider's code as the reason, its id of the message.

    A gone address carries since when (microseconds), if the provider says so. Providers' texts and numbers
    are bounded here, once for all channels: whatever an answer holds, a verdict can be written to the ledger.
    """

    kind: str
    reason: str | None = None
    provider_id: str | None = None
    gone_us: int | None = None

    def __post_init__(self) -> None:
        if self.reason is not None:
            object.__setattr__(self, "reason", _text(self.reason, REASON_CHARS))
        if self.provider_id is not None:
            object.__setattr__(self, "provider_id", _text(self.provider_id, PROVIDER_ID_CHARS))
        moment = self.gone_us
        if moment is not None and not (isinstance(moment, int) and 0 <= moment < _LAST_MOMENT_US):
            object.__setattr__(self, "gone_us", None)


class MessageRejected(Exception):
    """This one message cannot be sent through this channel; `reason` is a word.

    A message that is too large also carries its size, as the provider counts it (bytes, else `unit`), and
    the limit.
    """

    def __init__(
        self, reason: str, n_bytes: int | None = None, limit: int | None = None, unit: str = "bytes"
    ) -> None:
        super().__init__(reason)
        self.reason, self.n_bytes, self.limit, self.unit = reason, n_bytes, limit, unit


def require_size(n_bytes: int, limit: int, unit: str = "bytes") -> None:
    """Refuse a message above the provider's limit.

    Raises:
        MessageRejected: payload_too_large, with both numbers.
    """
    if n_bytes > limit:
        raise MessageRejected("payload_too_large", n_bytes, limit, unit)


def require_single_address(address: str) -> None:
    """Refuse an address that is none, or that the provider would read as a list of several.

    Raises:
        MessageRejected: bad_address.
    """
    if not address.strip() or "," in address:
        raise MessageRejected("bad_address")


_HEADER = re.compile(r"[\x20-\x7e]{1,512}")


def header_value(text: str) -> bytes:
    """Return a text of a row as a header's value.

    Raises:
        MessageRejected: something in it could end a header, or is not ASCII.
    """
    if not _HEADER.fullmatch(text):
        raise MessageRejected("control_character:header")
    return text.encode("ascii")


class Adapter(Protocol):
    """One provider's wire format."""

    def build_request(self, message: Message) -> Request:
        """Return the request of a message: equal messages give equal bytes.

        Raises:
            MessageRejected: the channel cannot carry it.
        """

    def classify(self, answer: Answer) -> Verdict:
        """Return what an answer with a status means."""


@dataclass(frozen=True)
class StandIn:
    """An adapter that knows no account, and the longest address it takes.

    It builds a message's request before there is an account to send it from.
    """

    adapter: Adapter
    address: str


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do, for the table in docs/reference/channels.md.

    Attributes:
        address: what a row's address is.
        limit: the largest message, as the adapter measures it.
        collapse: how a later message replaces an earlier one; None = it does not.
        ttl: how long an undelivered message is kept; None = the provider is not told.
        receipts: how delivery or opening comes back; None = it does not.
        multicast: the most addresses the provider takes in a request; None = several, of a number that no
            page read here names.
        ours: how many ours carries, if nothing else is set.
    """

    address: str
    limit: str
    collapse: str | None
    ttl: str | None
    receipts: str | None
    multicast: int | None = 1
    ours: int = 1


class Credentials(Protocol):
    """Where the authorization header comes from."""

    def current(self) -> bytes | None:
        """Return the header value, or None when it must be refreshed first."""

    async def refresh(self, stale: bytes | None) -> None:
        """Replace `stale`; the sender sees to it that this is never called twice at once.

        Raises:
            AngeliaError: the credentials are refused, or whoever gives them out does not answer.
        """


@dataclass(frozen=True)
class ChannelConfig:
    """A channel document of the catalog, and what the environment adds to it.

    The environment's variables are `ANGELIA_<CHANNEL>_URL`, `ANGELIA_<CHANNEL>_CREDENTIALS` and
    `ANGELIA_CA_FILE`.
    """

    channel: str
    provider: str
    quota_per_minute: float
    base_url: str | None = None
    credentials: Path | None = None
    ca_file: Path | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Provider:
    """An adapter ready to use: where it sends, as whom, and how many requests at once suit it."""

    adapter: Adapter
    base_url: str
    credentials: Credentials | None
    connections: int = 2
    concurrency: int = 200
    # Takes the configuration and the request timeout (seconds); None = HTTP/2.
    open_transport: Callable[[ChannelConfig, float], Transport] | None = None
    # Address -> whose server it is, where rows go to many; None = all go to the provider's own.
    receiver_of: Callable[[str], str] | None = None
    # False: real people are at the other end, so a simulated clock must not send there.
    may_rehearse: bool = True
    # Its messages bear the id of a list in place of their own, so receipts have to be led back by it.
    sends_lists: bool = False
    # What the account sends with another `per_request`: the same messages in other bytes. None = the same.
    other_form: Adapter | None = None


def load_credentials(config: ChannelConfig, needed: Sequence[str]) -> dict[str, Any]:
    """Read the channel's credentials file (JSON).

    Raises:
        InvalidInput: it is not named, unreadable or incomplete; its contents are never shown.
    """
    variable = f"ANGELIA_{config.channel.upper()}_CREDENTIALS"
    if config.credentials is None:
        raise InvalidInput(
            f"channel {config.channel} has no credentials",
            fix=f"set {variable} to a JSON file with {', '.join(needed)}",
        )
    try:
        document = json.loads(config.credentials.read_text("utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise InvalidInput(f"{variable} names no readable JSON file", fix=f"it needs {', '.join(needed)}")
    missing = [key for key in needed if not document.get(key)]
    if missing:
        raise InvalidInput(
            f"{variable}: the file lacks {', '.join(missing)}",
            fix="docs/DELIVERY.md shows what a channel's file holds",
        )
    return document

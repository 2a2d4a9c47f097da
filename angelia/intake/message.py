"""The form of a message that a client may ask for, and the refusal of any other.

A refusal has a stable code, the field and a reason, never a value. Surprise: a rule about the clock is judged
by the store, after it looked for the idempotency key: a client that repeats a request tomorrow gets the first
answer, although its `send_at` has passed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError, from_json, to_json

from angelia.catalog.document_parts import ChannelName
from angelia.contracts.ids import MAX_DIRECT_LETTERS, direct_campaign
from angelia.contracts.sources import (
    ADDRESS_CHARS,
    CHANNEL,
    CHANNELS,
    FILLED_ADDRESS,
    ID,
    MISSING_ID,
    MISSING_IDS,
    NAME,
)
from angelia.intake.tables import PRIORITIES
from angelia.users.addresses import same_address

MAX_BATCH = 1_000
MAX_VARIABLES_BYTES = 8_192
AHEAD_US = 3_653 * 86_400_000_000  # ten years
BY_ADDRESS = "@"  # before the channel of a message that names an address; no channel's name begins so
LATE_US = 300_000_000  # clocks differ, and a request may wait in the client: five minutes late is now


def written_out(value: Any) -> Any:
    """Refuse a number in place of a time, which pydantic would take as seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise PydanticCustomError("datetime_form", "a time is written as 2026-11-28T09:30:00Z")


# What Python has seen is a text to strict types, though it came as JSON.
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(written_out)]


def _real_id(value: str) -> str:
    if value in MISSING_IDS:
        raise PydanticCustomError("string_pattern_mismatch", MISSING_ID)
    return value


RealId = AfterValidator(_real_id)
# An address of any channel: more than blanks.
OneAddress = Annotated[str, Field(pattern=FILLED_ADDRESS, min_length=1, max_length=ADDRESS_CHARS)]


class ExternalName(BaseModel):
    """A person by their id in another system, which a client linked to a user before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    namespace: str = Field(pattern=NAME, description="the other system")
    id: str = Field(pattern=ID, description="the person's id there")


class AddressName(BaseModel):
    """An address, whoever's it is; only what is transactional goes to one that is nobody's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    channel: str = Field(pattern=CHANNEL, description="a channel of the catalog")
    address: OneAddress = Field(description="as its provider writes it")


EXAMPLES: list[JsonValue] = [
    {"user_id": "u1", "campaign_id": "cart", "class": "marketing", "variables": {"item": "lamp"}},
    {
        "to": {"channel": "sms", "address": "+4915112345678"},
        "template_id": "bill",
        "class": "transactional",
        "priority": "high",
        "idempotency_key": "bill-7",
    },
]


class IntakeMessage(BaseModel):
    """One message to one person, now or at a time."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, json_schema_extra={"examples": EXAMPLES}
    )

    user_id: str | None = Field(
        None, pattern=ID, description="whom: an id as the lake has it; this, external_id or to"
    )
    external_id: ExternalName | None = Field(None, description="whom, by another system's id")
    to: AddressName | None = Field(None, description="whom, by an address")
    campaign_id: str | None = Field(
        None, pattern=NAME, description="a campaign's name, of the catalog's form; this or template_id"
    )
    template_id: str | None = Field(
        None, pattern=NAME, max_length=MAX_DIRECT_LETTERS, description="a template that says `direct`"
    )
    message_class: Literal["transactional", "marketing"] = Field(alias="class")
    priority: Literal["high", "medium", "low"] = "medium"
    channels: list[ChannelName] = Field(
        default_factory=list,
        max_length=len(CHANNELS),
        description="in order of preference; empty = the campaign's",
    )
    variables: dict[Annotated[str, Field(min_length=1, max_length=64)], JsonValue] = Field(
        default_factory=dict, description=f"for the template; {MAX_VARIABLES_BYTES} bytes as JSON at most"
    )
    send_at: Moment | None = Field(None, description="at most ten years ahead; absent = now")
    expires_at: Moment | None = Field(None, description="after it the message is not sent")
    idempotency_key: str | None = Field(
        None, pattern=r"^[ -~]{1,200}$", description="same key and body: same answer; other body: 409"
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was not accepted."""

    code: str
    field: str
    reason: str

    def document(self) -> dict[str, str]:
        """Return what the client reads."""
        return {"code": self.code, "field": self.field, "reason": self.reason}


@dataclass(slots=True)
class Draft:
    """A message of the right form: its row, and what the clock has against it."""

    row: dict[str, Any]
    refusal: Refusal | None
    external: tuple[str, str] | None = None  # whom, where the row's user is still to be looked up
    to: tuple[str, str] | None = None  # channel and address, in place of a person


ONE = TypeAdapter(IntakeMessage)
_MANY = TypeAdapter(dict[Literal["messages"], Annotated[list[IntakeMessage], Field(max_length=MAX_BATCH)]])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Made once: `JSONEncoder` makes the one in C anew for each call, which costs ten times the encoding. What was
# JSON holds no circle, so none is looked for.
_ENCODE = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None, None, json.encoder.encode_basestring_ascii, None, ":", ",", True, False, False
)
_IDS_AT_ONCE = 1_024  # random numbers fetched from the system together: each fetch is a switch to it
_random: deque[str] = deque()
# Two processes must not draw from one pool.
os.register_at_fork(after_in_child=_random.clear)
# pydantic's error types -> our codes, which stay when pydantic's change
_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "literal_error": "not_offered",
    "string_pattern_mismatch": "format",
    "string_too_short": "length",
    "string_too_long": "length",
    "too_long": "length",
    "too_short": "length",
    "timezone_aware": "no_time_zone",
    "json_invalid": "not_json",
    "finite_number": "not_finite",
}


def parse_message(body: bytes, client: str, now_us: int) -> Draft | Refusal:
    """Return the draft of a request's body, or why it is refused."""
    try:
        return draft(ONE.validate_json(body), client, now_us)
    except ValidationError as error:
        return _refusal(error.errors(include_url=False, include_context=False, include_input=False)[0])


def parse_batch(body: bytes, client: str, now_us: int) -> list[Draft | Refusal] | Refusal:
    """Return a draft or a refusal for each item, or why the whole batch is refused."""
    with suppress(ValidationError):
        # In one pass where nothing is wrong; otherwise item by item, to name what is.
        if messages := _MANY.validate_json(body).get("messages"):
            return [draft(message, client, now_us) for message in messages]
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError:
        return Refusal("not_json", "", "the body is not JSON")
    if not isinstance(document, dict) or not isinstance(items := document.get("messages"), list):
        return Refusal("wrong_type", "messages", "the body is an object with a list called messages")
    if extra := set(document) - {"messages"}:
        return Refusal("unknown_field", min(extra)[:64], "the body has no other field than messages")
    if not 1 <= len(items) <= MAX_BATCH:
        return Refusal("length", "messages", f"1 to {MAX_BATCH} messages at a time")
    # Strict types differ between JSON and Python (a time is a text), so each item is read as JSON again.
    return [parse_message(to_json(item), client, now_us) for item in items]


def draft(message: IntakeMessage, client: str, now_us: int) -> Draft | Refusal:
    """Return a message's row; a refusal if not one person is named, or variables are too large."""
    named = (message.user_id is not None) + (message.external_id is not None) + (message.to is not None)
    if named != 1:
        reason = "name the person by one of user_id, external_id and to"
        return Refusal("invalid" if named else "missing", "user_id", reason)
    if (message.external_id.id if message.external_id else message.user_id) in MISSING_IDS:
        return Refusal("format", "external_id" if message.external_id else "user_id", MISSING_ID)
    if message.to is not None and message.channels:
        return Refusal("invalid", "channels", "a message to an address goes by that one's channel")
    if (message.campaign_id is None) == (message.template_id is None):
        is_missing = message.campaign_id is None
        reason = "name a campaign_id or a template_id" + ("" if is_missing else ", not both")
        return Refusal("missing" if is_missing else "invalid", "campaign_id", reason)
    campaign = message.campaign_id or direct_campaign(message.template_id or "", message.message_class)
    try:
        variables = "".join(_ENCODE(message.variables, 0)) if message.variables else "{}"
    except ValueError:
        return Refusal("not_finite", "variables", "numbers must be finite")
    if len(variables) > MAX_VARIABLES_BYTES:
        return Refusal("length", "variables", f"at most {MAX_VARIABLES_BYTES} bytes as ASCII JSON")
    send_us = microseconds(message.send_at) if message.send_at is not None else None
    expires_us = microseconds(message.expires_at) if message.expires_at is not None else None
    to = None if message.to is None else (message.to.channel, message.to.address)
    channels = ",".join(message.channels) if to is None else f"{BY_ADDRESS}{to[0]}"
    priority = PRIORITIES.index(message.priority)
    # No part can hold a line break: the forms of the names forbid it, and JSON writes it escaped.
    external = (message.external_id.namespace, message.external_id.id) if message.external_id else None
    # Of another system's id the words count, so that the same request is the same wherever it leads.
    whom = message.user_id if external is None else "\n".join(("", *external))
    if to is not None:
        whom = f"\n\n{to[0]}\n{same_address(*to)}"
    content = (
        f"{whom}\n{campaign}\n{message.message_class}\n{priority}\n{channels}\n"
        f"{send_us}\n{expires_us}\n{variables}"
    )
    due_us = max(send_us or 0, now_us)
    key = message.idempotency_key
    row = {
        "client": client,
        "id": new_id(now_us),
        "campaign_id": campaign,
        "user_id": message.user_id or "",
        "class": message.message_class,
        "channels": channels,
        "variables": variables,
        "priority": priority,
        "send_us": due_us,
        "expires_us": expires_us or 0,
        "accepted_us": now_us,
        "key_hash": None if key is None else hashlib.sha256(key.encode()).hexdigest(),
        "body_hash": hashlib.sha256(content.encode()).hexdigest() if to is None else _hidden(content, key),
        "status": "accepted",
        "status_us": now_us,
        "claimed_us": 0,
        "claimed_by": "",
        "is_open": 1,
        "due_us": due_us,
    }
    return Draft(row, _against_the_clock(send_us, expires_us, now_us), external, to)


def is_by_address(row: Mapping[str, Any]) -> bool:
    """Say whether a message names an address; it stays so once its person is known."""
    return str(row["channels"]).startswith(BY_ADDRESS)


def channels_of(row: Mapping[str, Any]) -> list[str]:
    """Return the channels that a message's client named."""
    names = str(row["channels"]).removeprefix(BY_ADDRESS)
    return names.split(",") if names else []


def _hidden(content: str, key: str | None) -> str:
    """Return a hash of a body with an address.

    A plain one could be found by trying all telephone numbers. So the idempotency key, which is kept nowhere,
    goes into it; without one no body is ever compared.
    """
    secret = os.urandom(32) if key is None else key.encode()
    return hmac.digest(secret, content.encode(), "sha256").hex()


def again(row: dict[str, Any], now_us: int) -> Draft | Refusal:
    """Return the draft of a message that is sent once more; a refusal if it may not be.

    However often it is asked for, a message is sent again once: the new one can be sent again in its turn.
    """
    if row["status"] in ("accepted", "claimed", "queued"):
        return Refusal("not_resendable", "", f"the message is {row['status']}: it is still on its way")
    if row["class"] == "marketing" and row["status"] in ("sent", "delivered", "opened", "ambiguous"):
        return Refusal("not_resendable", "", "marketing that may have arrived is never sent twice")
    if is_by_address(row):
        return Refusal("not_resendable", "", "its address is not kept; send a new message to it")
    if '"otp:' in row["variables"]:
        return Refusal("not_resendable", "", "a new code is asked for, which ends this one")
    if 0 < row["expires_us"] <= now_us:
        return Refusal("not_resendable", "expires_at", "it has passed")
    fresh = {
        "id": new_id(now_us),
        "send_us": now_us,
        "accepted_us": now_us,
        "key_hash": hashlib.sha256(f"resend\n{row['id']}".encode()).hexdigest(),
        "body_hash": hashlib.sha256(f"resend\n{row['body_hash']}".encode()).hexdigest(),
        "status": "accepted",
        "status_us": now_us,
        "claimed_us": 0,
        "claimed_by": "",
        "is_open": 1,
        "due_us": now_us,
    }
    return Draft(row | fresh, None)


def _against_the_clock(send_us: int | None, expires_us: int | None, now_us: int) -> Refusal | None:
    if send_us is not None and send_us < now_us - LATE_US:
        return Refusal("past", "send_at", "more than five minutes ago")
    if send_us is not None and send_us > now_us + AHEAD_US:
        return Refusal("too_far", "send_at", "more than ten years ahead")
    if expires_us is not None and expires_us <= max(send_us or 0, now_us):
        return Refusal("past", "expires_at", "it must lie after now and after send_at")
    return None


def new_id(now_us: int) -> str:
    """Return 32 hex digits: 12 of the millisecond, 20 at random."""
    while True:
        try:
            return f"{now_us // 1000:012x}{_random.pop()}"
        except IndexError:
            drawn = os.urandom(10 * _IDS_AT_ONCE).hex()
            _random.extend(drawn[at : at + 20] for at in range(0, len(drawn), 20))


def microseconds(moment: datetime) -> int:
    """Return an instant as whole microseconds since 1970, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def now() -> int:
    """Return this instant in microseconds."""
    return time.time_ns() // 1000


def _refusal(error: Any) -> Refusal:
    return refusal_of(error, {field.alias or name for name, field in IntakeMessage.model_fields.items()})


def refusal_of(error: Any, names: set[str]) -> Refusal:
    """Return pydantic's error in our words; only names of fields are repeated."""
    kind, place = str(error["type"]), [str(part) for part in error["loc"]]
    field = place[0] if place and place[0] in names else ""
    code = _CODES.get(kind) or (
        "not_a_time"
        if kind.startswith(("datetime", "date_"))
        else "wrong_type"
        if "type" in kind
        else "invalid"
    )
    if code == "unknown_field":
        return Refusal(code, place[0][:64] if place else "", "there is no such field")
    return Refusal(code, field, str(error["msg"]))

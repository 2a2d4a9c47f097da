"""What requests and answers of the intake hold, from its OpenAPI document.

Written by `make docs`. Surprise: times in answers are texts, as the intake wrote them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

# A person by their id in another system, which a client linked to a user before.
ExternalName = TypedDict(
    "ExternalName",
    {
        "namespace": "str",
        "id": "str",
    },
)
# An address, whoever's it is; only what is transactional goes to one that is nobody's.
AddressName = TypedDict(
    "AddressName",
    {
        "channel": "str",
        "address": "str",
    },
)
# One message to one person, now or at a time.
IntakeMessage = TypedDict(
    "IntakeMessage",
    {
        "user_id": "NotRequired[str | None]",
        "external_id": "NotRequired[ExternalName | None]",
        "to": "NotRequired[AddressName | None]",
        "campaign_id": "NotRequired[str | None]",
        "template_id": "NotRequired[str | None]",
        "class": Literal["transactional", "marketing"],
        "priority": NotRequired[Literal["high", "medium", "low"]],
        "channels": "NotRequired[list[str]]",
        "variables": "NotRequired[dict[str, Any]]",
        "send_at": "NotRequired[datetime | str | None]",
        "expires_at": "NotRequired[datetime | str | None]",
        "idempotency_key": "NotRequired[str | None]",
    },
)
# A message that is durable; `repeated` if the idempotency key was used before.
AcceptedBody = TypedDict(
    "AcceptedBody",
    {
        "id": "str",
        "accepted_at": "str",
        "repeated": "bool",
    },
)
# What became of a message, when, through which channel, and why.
MessageStep = TypedDict(
    "MessageStep",
    {
        "step": "str",
        "at": "str",
        "channel": "NotRequired[str | None]",
        "reason": "NotRequired[str | None]",
    },
)
# A message as it stands.
MessageView = TypedDict(
    "MessageView",
    {
        "id": "str",
        "status": Literal[
            "accepted",
            "claimed",
            "queued",
            "sent",
            "delivered",
            "opened",
            "failed",
            "ambiguous",
            "refused",
            "cancelled",
            "expired",
        ],
        "user_id": "str | None",
        "campaign_id": "str | None",
        "template_id": "str | None",
        "class": "str",
        "priority": Literal["high", "medium", "low"],
        "channels": "list[str]",
        "variables": "dict[str, Any]",
        "send_at": "str",
        "expires_at": "str | None",
        "steps": "list[MessageStep]",
    },
)
# A page of messages; `next` is null on the last.
MessagePage = TypedDict(
    "MessagePage",
    {
        "messages": "list[MessageView]",
        "next": "str | None",
    },
)
# Why something was not done: `code` stays the same from release to release.
ErrorBody = TypedDict(
    "ErrorBody",
    {
        "code": "str",
        "field": "str",
        "reason": "str",
    },
)
# A message of a batch that was not taken.
RefusedItem = TypedDict(
    "RefusedItem",
    {
        "error": "ErrorBody",
    },
)
# One verdict a message, in the order given.
BatchAnswer = TypedDict(
    "BatchAnswer",
    {
        "accepted": "int",
        "refused": "int",
        "items": "list[AcceptedBody | RefusedItem]",
    },
)
# Whom a code is for, by which transactional campaign or template it goes, and who asks.
CodeRequest = TypedDict(
    "CodeRequest",
    {
        "user_id": "str",
        "campaign_id": "NotRequired[str | None]",
        "template_id": "NotRequired[str | None]",
        "channels": "NotRequired[list[str]]",
        "lives_s": "NotRequired[int]",
        "network": "NotRequired[str | None]",
    },
)
# A code that is on its way.
CodeMade = TypedDict(
    "CodeMade",
    {
        "id": "str",
        "accepted_at": "str",
        "expires_at": "str",
        "resend_after_s": "int",
    },
)
# Whether it was right; with no attempts left a new code has to be asked for.
CodeVerdict = TypedDict(
    "CodeVerdict",
    {
        "verified": "bool",
        "attempts_left": "int",
    },
)
# A person's ids by system.
ExternalIdsView = TypedDict(
    "ExternalIdsView",
    {
        "external_ids": "dict[str, list[str]]",
    },
)
# Local hours in which nothing is sent, beside everybody's: from `start` up to `end`.
OwnHours = TypedDict(
    "OwnHours",
    {
        "start": "int",
        "end": "int",
    },
)
# What a person takes; everything that is not named is taken.
PreferencesView = TypedDict(
    "PreferencesView",
    {
        "topics": "dict[str, bool]",
        "channels": "dict[str, bool]",
        "language": "NotRequired[str | None]",
        "quiet_hours": "NotRequired[OwnHours | None]",
    },
)
# What a person said: true = takes it. What is not named stays as it was.
PreferencesSaid = TypedDict(
    "PreferencesSaid",
    {
        "topics": "NotRequired[dict[str, bool]]",
        "channels": "NotRequired[dict[str, bool]]",
        "language": "NotRequired[str | None]",
        "quiet_hours": "NotRequired[OwnHours | None]",
    },
)
# What a person takes from now on; `still_closed` are channels that a yes does not open.
PreferencesKept = TypedDict(
    "PreferencesKept",
    {
        "topics": "dict[str, bool]",
        "channels": "dict[str, bool]",
        "language": "NotRequired[str | None]",
        "quiet_hours": "NotRequired[OwnHours | None]",
        "still_closed": "list[str]",
    },
)
# An address, masked; `closed` was ended by its provider, `waiting` needs the person's yes.
AddressView = TypedDict(
    "AddressView",
    {
        "channel": "str",
        "address": "str",
        "since": "str",
        "state": Literal["open", "waiting", "closed"],
        "app_version": "str | None",
        "permission": Literal["allowed", "denied", "unknown"] | None,
    },
)
# How a person can be reached.
AddressesView = TypedDict(
    "AddressesView",
    {
        "addresses": "list[AddressView]",
    },
)
# An address with what is known of its device; what is left out stays as it was.
AddressOfDevice = TypedDict(
    "AddressOfDevice",
    {
        "address": "str",
        "app_version": "NotRequired[str | None]",
        "permission": NotRequired[Literal["allowed", "denied", "unknown"] | None],
    },
)
# An address, masked, that is not taken again.
ClosedAddress = TypedDict(
    "ClosedAddress",
    {
        "channel": "str",
        "address": "str",
    },
)
# How a person can be reached from the next night on.
AddressesKept = TypedDict(
    "AddressesKept",
    {
        "addresses": "list[AddressView]",
        "still_closed": "list[ClosedAddress]",
    },
)

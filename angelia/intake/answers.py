"""The bodies of the API's answers, as its OpenAPI document describes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from angelia.contracts.ids import direct_template
from angelia.intake.errors import ErrorBody
from angelia.intake.message import MAX_BATCH, IntakeMessage, channels_of, is_by_address
from angelia.intake.store import Accepted, Row, Verdict, effective_status
from angelia.intake.tables import PRIORITIES

Status = Literal[
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
]


class BatchRequest(BaseModel):
    """What a batch's body holds."""

    model_config = ConfigDict(extra="forbid")
    messages: Annotated[list[IntakeMessage], Field(min_length=1, max_length=MAX_BATCH)]


class AcceptedBody(BaseModel):
    """A message that is durable; `repeated` if the idempotency key was used before."""

    id: str
    accepted_at: datetime
    repeated: bool


class RefusedItem(BaseModel):
    """A message of a batch that was not taken."""

    error: ErrorBody


class BatchAnswer(BaseModel):
    """One verdict a message, in the order given."""

    accepted: int
    refused: int
    items: list[AcceptedBody | RefusedItem]


class MessageStep(BaseModel):
    """What became of a message, when, through which channel, and why."""

    step: str
    at: datetime
    channel: str | None = None
    reason: str | None = None


class MessageView(BaseModel):
    """A message as it stands."""

    id: str
    status: Status
    user_id: Annotated[str | None, Field(description="null of a message to an address, whoever's it is")]
    campaign_id: str | None
    template_id: str | None
    message_class: Annotated[str, Field(alias="class")]
    priority: Literal["high", "medium", "low"]
    channels: list[str]
    variables: dict[str, JsonValue]
    send_at: datetime
    expires_at: datetime | None
    steps: list[MessageStep]


class MessagePage(BaseModel):
    """A page of messages; `next` is null on the last."""

    messages: list[MessageView]
    next: str | None


def item_json(verdict: Verdict) -> str:
    """Return a verdict as JSON."""
    if isinstance(verdict, Accepted):
        # Written by hand: an id and an instant hold nothing that JSON would escape.
        repeated = "true" if verdict.repeated else "false"
        at = moment_of(verdict.accepted_us)
        return f'{{"id":"{verdict.id}","accepted_at":"{at}","repeated":{repeated}}}'
    return json.dumps({"error": verdict.document()}, ensure_ascii=False, separators=(",", ":"))


def view_of(row: Row, noted: Sequence[Row], now_us: int) -> dict[str, Any]:
    """Return the JSON of a stored message and the steps that dispatchers noted of it."""
    status, template = effective_status(row, now_us), direct_template(row["campaign_id"])
    steps: list[dict[str, Any]] = [{"step": "accepted", "at": moment_of(row["accepted_us"])}]
    if row["claimed_us"]:
        steps.append({"step": "claimed", "at": moment_of(row["claimed_us"])})
    for step in noted:
        details = {name: step[name] for name in ("channel", "reason") if step[name]}
        steps.append({"step": step["step"], "at": moment_of(step["at_us"])} | details)
    if status == "expired" and not any(step["step"] == "expired" for step in noted):
        steps.append({"step": "expired", "at": moment_of(row["expires_us"])})
    elif status == "cancelled":
        steps.append({"step": "cancelled", "at": moment_of(row["status_us"])})
    return {
        "id": row["id"],
        "status": status,
        "user_id": None if is_by_address(row) else row["user_id"],
        "campaign_id": row["campaign_id"] if template is None else None,
        "template_id": template,
        "class": row["class"],
        "priority": PRIORITIES[row["priority"]],
        "channels": channels_of(row),
        "variables": json.loads(row["variables"]),
        "send_at": moment_of(row["send_us"]),
        "expires_at": moment_of(row["expires_us"]) if row["expires_us"] else None,
        "steps": sorted(steps, key=lambda step: step["at"]),
    }


@lru_cache(maxsize=64)  # the messages of a batch are accepted at one instant
def moment_of(us: int) -> str:
    """Return an instant as answers write it."""
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat(timespec="milliseconds")

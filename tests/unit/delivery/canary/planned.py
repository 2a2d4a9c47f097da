"""A plan with a canary: ten people in the first hour, ten others three hours later."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.contracts.ids import message_id, user_keys
from angelia.delivery.manifest import sample_plan
from angelia.lake import Lake
from angelia.matching import in_canary
from tests.unit.delivery.given import DS, HOUR

LATER = "2026-11-15T07"
BOTH = (HOUR, LATER)
CAMPAIGN = "price_drop"
RULE: dict[str, Any] = {
    "share_pct": 20.0,
    "hours": 3,
    "messages": 10,
    "max_rejected_pct": 10.0,
    "max_refused_pct": 10.0,
    "min_opened_pct": 0.0,
    "then": "expire",
}
_NAMES = [f"u{number:08d}" for number in range(200)]
_FIRST = in_canary(user_keys(_NAMES), CAMPAIGN, DS, RULE["share_pct"]).tolist()
CANARY = [name for name, goes_first in zip(_NAMES, _FIRST, strict=True) if goes_first][:10]
REST = [name for name, goes_first in zip(_NAMES, _FIRST, strict=True) if not goes_first][:10]


def plan(lake: Lake, **changes: Any) -> None:
    """Plan ten people of the canary at 04:00, and ten others at 07:00."""
    people = CANARY + REST
    given: dict[str, Any] = {
        "user_id": lambda number: people[number],
        "message_id": lambda number: message_of(people[number]),
        **changes,
    }
    sample_plan.make(lake, DS, len(people), hours=(4, 7), changes=given)


def message_of(user: str) -> str:
    """Return the id of a person's message."""
    return message_id(CAMPAIGN, user, "2026-11-15")


def documents_with(rule: dict[str, Any], original: Any) -> Any:
    """Return the sample's documents, and a campaign with a canary."""
    body = json.dumps({"id": CAMPAIGN, "channels": ["fcm"], "canary": rule})
    campaign = {"kind": "campaign", "id": CAMPAIGN, "version": 1, "body": body}
    return lambda *given: [*original(*given), campaign]


def come_back(lake: Lake, kind: str, *users: str, reason: str | None = None) -> None:
    """Let receipts of these people's messages come back."""
    at = datetime(2026, 11, 15, 5, tzinfo=UTC)
    rows = [
        {
            "receipt_id": f"{kind}-{user}",
            "dispatch_id": message_of(user),
            "message_id": message_of(user),
            "user_id": user,
            "campaign_id": CAMPAIGN,
            "material_id": "m",
            "channel": "fcm",
            "kind": kind,
            "receipt_ts": at,
            "sent_ts": at,
            "reason": reason,
        }
        for user in users
    ]
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("push_receipts")))
    with lake.attempt("push_receipts", ds=DS, source="receive", part=kind) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish()


def decide(lake: Lake, action: str, night: str = DS, n: int = 0) -> None:
    """Let a person pass or fail the canary."""
    entry = {
        "entry_id": f"c{n}",
        "campaign_id": CAMPAIGN,
        "night": night,
        "action": action,
        "at_ts": datetime(2026, 11, 15, 8, tzinfo=UTC),
        "actor": "ann",
        "reason": "looked at it",
    }
    table = pa.Table.from_pylist([entry], schema=arrow.schema(dataset("canary_choices")))
    lake.append_log("canary_choices", table)

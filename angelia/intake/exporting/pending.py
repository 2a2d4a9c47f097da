"""The intake's messages that use room in the next plan: sent today, or due in its hours.

Grain: message. Reads the intake database; writes nothing. Surprise: transactional messages use no room, as in
the night; a message counts by the class that the dispatcher will hold it to.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from angelia.contracts.ids import message_id
from angelia.contracts.sending import PLAN_HOURS
from angelia.intake.dispatching.deciding import occurrence_of
from angelia.intake.store import Row, slices
from angelia.intake.tables import PRIORITIES, batches, messages

HOUR_US = 3_600_000_000
# Handed to the worker, and not known to have failed; claimed may still be refused, and counts until then.
_LEFT = ("claimed", "queued", "sent", "delivered", "opened", "ambiguous")


def pending_messages(
    connection: Connection, closed: date, lead_hours: int, now_us: int
) -> list[dict[str, Any]]:
    """Return the rows of intake_pending of a closed day, sorted by message."""
    midnight = datetime.combine(closed, time(), UTC) + timedelta(days=1)
    plan_end = datetime.combine(closed, time(), UTC) + timedelta(hours=lead_hours + PLAN_HOURS)
    rows = [
        _room(row, True, row["claimed_us"])
        for row in _left_since(connection, int(midnight.timestamp() * 1e6))
    ]
    c = messages.c
    columns = (c.id, c.user_id, c.campaign_id, c.due_us, c.expires_us)
    for priority in range(len(PRIORITIES)):
        # One range of the index of what is open; what is due after the plan's last hour sees the plan.
        due = sa.select(*columns).where(
            c.is_open == 1,
            c.priority == priority,
            c.due_us < int(plan_end.timestamp() * 1e6),
            c["class"] == "marketing",
        )
        for row in connection.execute(due).mappings():
            if not 0 < row["expires_us"] <= now_us:
                rows.append(_room(dict(row), False, max(row["due_us"], now_us // HOUR_US * HOUR_US)))
    return sorted(rows, key=lambda row: str(row["message_id"]))


def _left_since(connection: Connection, since_us: int) -> list[Row]:
    """Return marketing messages that were claimed since an instant and may have left.

    They are looked up by their batches, which are few: an index on claims would cost time for each message.
    """
    members: dict[str, set[str]] = {}
    query = sa.select(batches.c.members).where(batches.c.made_us >= since_us)
    for (lines,) in connection.execute(query):
        for line in lines.split("\n"):
            client, _, message = line.partition("/")
            members.setdefault(client, set()).add(message)
    c = messages.c
    rows: list[Row] = []
    for client, ids in sorted(members.items()):
        for part in slices(sorted(ids)):
            mine = sa.select(c.id, c.user_id, c.campaign_id, c.claimed_us).where(
                c.client == client,
                c.id.in_(part),
                c["class"] == "marketing",
                c.status.in_(_LEFT),
            )
            rows += map(dict, connection.execute(mine).mappings())
    return rows


def _room(row: Row, is_sent: bool, at_us: int) -> dict[str, Any]:
    occurrence = occurrence_of(row["id"])
    return {
        "message_id": message_id(row["campaign_id"], row["user_id"], occurrence),
        "user_id": row["user_id"],
        "campaign_id": row["campaign_id"],
        "is_sent": is_sent,
        "at_ts": at_us,
    }

"""Steps: what became of a message, when, through which channel and why.

Grain: step of a message and channel. Writes the intake's `intake_steps`, and the statuses that follow.
Surprise: a step is noted once, however often it is told; a report that comes late changes no later status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from angelia.intake.database import change_rows, insert_rows
from angelia.intake.exporting.changes import mark
from angelia.intake.store import Row, slices
from angelia.intake.tables import messages, steps

_ORDER = ("queued", "failed", "ambiguous", "sent", "delivered", "opened")


@dataclass(frozen=True)
class OutcomeStep:
    """What became of a message; `status` None leaves its status as it is."""

    client: str
    id: str
    step: str
    at_us: int
    status: str | None
    reason: str = ""
    channel: str = ""


def counted(noted: Iterable[OutcomeStep]) -> Counter[str]:
    """Return how many steps there are of each kind, those with a reason under it."""
    return Counter(f"{step.step}: {step.reason}" if step.reason else step.step for step in noted)


def apply(connection: Connection, noted: Sequence[OutcomeStep]) -> int:
    """Write steps that are not there yet, and the statuses they make; return how many."""
    fresh = note_steps(connection, noted)
    by_status: dict[str, list[Row]] = {}
    for step in fresh:
        if step.status is not None:
            row = {"of_client": step.client, "of_id": step.id, "at": step.at_us}
            by_status.setdefault(step.status, []).append(row)
    c = messages.c
    for status, rows in by_status.items():
        update = sa.update(messages).where(
            c.client == sa.bindparam("of_client"),
            c.id == sa.bindparam("of_id"),
            # A report that was overtaken by a later one is noted, and changes no status.
            *(c.status != later for later in _later_than(status)),
        )
        change_rows(connection, update.values(status=status, status_us=sa.bindparam("at")), rows)
    return len(fresh)


def _later_than(status: str) -> Sequence[str]:
    return _ORDER[_ORDER.index(status) + 1 :] if status in _ORDER else ()


def note_steps(connection: Connection, noted: Sequence[OutcomeStep]) -> list[OutcomeStep]:
    """Insert the steps that are not there yet; return them."""
    by_client: dict[str, list[str]] = {}
    for step in noted:
        by_client.setdefault(step.client, []).append(step.id)
    known: set[tuple[str, str, str, str]] = set()
    c = steps.c
    for client, ids in by_client.items():
        for part in slices(ids):
            query = sa.select(c.client, c.id, c.step, c.channel).where(c.client == client, c.id.in_(part))
            known |= set(map(tuple, connection.execute(query).all()))
    fresh: list[OutcomeStep] = []
    for step in noted:
        key = (step.client, step.id, step.step, step.channel)
        # A call may bring the same step twice, and a repeated one finds it in the table.
        if key not in known:
            known.add(key)
            fresh.append(step)
    if fresh:
        mark(connection, (step.id for step in fresh))
        insert_rows(
            connection,
            steps,
            [
                {
                    "client": step.client,
                    "id": step.id,
                    "step": step.step,
                    "channel": step.channel,
                    "at_us": step.at_us,
                    "reason": step.reason[:200],
                }
                for step in fresh
            ],
        )
    return fresh

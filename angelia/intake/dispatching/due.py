"""Which accepted messages are due, and how many of each priority a batch takes.

Grain: message. Reads: the intake's `messages`. Surprise: a priority's due messages are one range of an index,
so that a queue of millions costs no more than the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from angelia.intake.tables import PRIORITIES, messages

EVERY = tuple(range(len(PRIORITIES)))
_IS_OPEN = messages.c.is_open == sa.literal_column("1")  # no parameter, or its index is not used


def due_range(priority: int, now_us: int) -> sa.Subquery:
    """Return the due messages of a priority, to be counted."""
    return (
        sa.select(messages.c.due_us)
        .where(_IS_OPEN, messages.c.priority == priority, messages.c.due_us <= now_us)
        .subquery()
    )


def due_query(priority: int, now_us: int, limit: int) -> sa.Select[Any]:
    """Return the query of a priority's due messages, oldest first: one range of an index."""
    return (
        sa.select(messages)
        .where(_IS_OPEN, messages.c.priority == priority, messages.c.due_us <= now_us)
        .order_by(messages.c.due_us)
        .limit(limit)
    )


def share_out(waiting: Sequence[int], limit: int) -> list[int]:
    """Return how many of each priority a batch takes: high first, room kept for the rest.

    A batch of less than ten keeps no room for low, one of less than five none for medium.
    """
    kept = [0, min(waiting[1], limit // 5), min(waiting[2], limit // 10)]
    shares: list[int] = []
    for rank, number in enumerate(waiting):
        room = limit - sum(shares) - sum(kept[rank + 1 :])
        shares.append(min(number, room))
    return shares

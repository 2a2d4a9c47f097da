"""How long the dispatcher takes to find what is due among messages of five years.

The database makes the messages itself: ten million would take Python minutes. Each question is asked as a
dispatcher asks it: what it found is claimed before the next one, so that no question reads rows that an
earlier one has read.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from angelia.intake.database import connect, fetched, writing
from angelia.intake.dispatching.due import due_query
from angelia.intake.message import Draft, IntakeMessage, draft, now
from angelia.intake.store import change
from angelia.intake.tables import messages

YEARS_US = 5 * 366 * 86_400_000_000
AT_ONCE = 500_000
QUESTIONS, ROWS = 60, 500


def due_query_ms(folder: Path, timed: int, seed: int) -> dict[str, Any]:
    """Return the median and the 95th percentile of finding 500 due messages among so many.

    The median of processor time stands beside them, which a busy machine stretches less.
    """
    engine = connect(f"sqlite:///{folder / 'timed.db'}")
    drawn, moment = random.Random(seed), now()
    for first in range(0, timed, AT_ONCE):
        with writing(engine) as connection:
            _insert(connection, range(first, min(timed, first + AT_ONCE)), moment, drawn)
    times: list[float] = []
    used: list[float] = []
    # By the last instant everything is due, so each question has as much to leave aside as there can be.
    at = moment + YEARS_US
    for number in range(QUESTIONS):
        with engine.connect() as connection:
            began, before = time.perf_counter(), time.thread_time()
            rows = fetched(connection, due_query(number % 3, at, ROWS))
            times.append(1000 * (time.perf_counter() - began))
            used.append(1000 * (time.thread_time() - before))
        with writing(engine) as connection:
            change(connection, rows, is_open=0, status="claimed")
    engine.dispose()
    times.sort()
    return {
        "due_query_ms": round(median(times), 2),
        "due_query_p95_ms": round(times[-QUESTIONS // 20 - 1], 2),
        "due_query_processor_ms": round(median(used), 2),
    }


def _insert(connection: Connection, numbers: range, moment: int, drawn: random.Random) -> None:
    """Insert messages that are due at drawn instants of five years, in three priorities."""
    form = IntakeMessage.model_validate({"user_id": "u", "campaign_id": "cart", "class": "marketing"})
    made = draft(form, "bench", moment)
    assert isinstance(made, Draft)
    connection.connection.create_function("drawn", 0, lambda: moment + drawn.randrange(YEARS_US))
    own = {"id": "printf('%032x', i)", "priority": "i % 3", "send_us": "due", "due_us": "due"}
    columns = ", ".join(own.get(column.name, f":{column.name}") for column in messages.columns)
    statement = (
        f"WITH RECURSIVE n(i, due) AS (SELECT {numbers.start}, drawn() UNION ALL "
        f"SELECT i + 1, drawn() FROM n WHERE i + 1 < {numbers.stop}) "
        f"INSERT INTO {messages.name} SELECT {columns} FROM n"
    )
    connection.execute(sa.text(statement), {k: v for k, v in made.row.items() if k not in own})

"""How long a message waits until the worker has it: from acceptance, or an event's arrival.

A dispatcher in a process of its own sends to a sandbox while messages of high priority come in among four
times as many of medium. Then a file of events arrives, each of which sets a message off, and `angelia intake
triggers` runs at once: a schedule adds its interval. The steps in the database are what is measured.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from angelia.audience.bitmaps.bitmaps import EVERYONE
from angelia.audience.bitmaps.blobs import BitmapRow, write_rows
from angelia.audience.bitmaps.sets import of_flags
from angelia.contracts import arrow, dataset
from angelia.errors import AngeliaError
from angelia.intake.database import connect
from angelia.intake.dispatching import sample_night
from angelia.intake.message import Draft, IntakeMessage, draft, now
from angelia.intake.store import IntakeStore
from angelia.intake.tables import messages, steps
from angelia.intake.triggers.run import CLIENT
from angelia.lake import Lake
from benchmarks.deliver import environment
from benchmarks.harness.serving import sandbox
from benchmarks.messages.dispatch import NIGHT

TICK_S = 0.05
HIGH_A_TICK, MEDIUM_A_TICK = 5, 20
WAIT_S = 180.0
BITS = sample_night.SHARD_BITS
LEFT = {**sample_night.SALE, "id": "left", "trigger": {"event": "cart"}}


def latency_of(folder: Path, seconds: float, events: int) -> dict[str, Any]:
    """Return the waits of messages and of what events set off.

    Args:
        seconds: for so long messages come in.
        events: people with an event each; at most 16,384.
    """
    home = folder / "latency"
    home.mkdir()
    lake = Lake.open(str(home / "lake"))
    audience = {"audience": {"predicate": "country = 'AT'"}}
    documents = [{**each, **audience.get(each["kind"], {})} for each in sample_night.DOCUMENTS] + [LEFT]
    sample_night.make(lake, events, NIGHT, documents=documents)
    _index(lake, events)
    engine = connect(f"sqlite:///{home / 'intake.db'}")
    angelia = [sys.executable, "-m", "angelia.cli", "intake"]
    with sandbox(folder / "latency-sandbox") as names:
        env = environment(names, "fcm") | {"ANGELIA_HOME": str(home)}
        dispatcher = subprocess.Popen([*angelia, "dispatch"], env=env, stdout=subprocess.DEVNULL)
        try:
            store = IntakeStore(engine)
            store.accept([_draft("high")])
            _wait(engine, "bench", 1)  # the first one pays for its start
            asked = _ask(store, seconds, events)
            _wait(engine, "bench", asked + 1)
            waits = _waits(engine, "bench", since="accepted_us", high_only=True)[1:]
            arrived = _arrive(lake, events)
            subprocess.run([*angelia, "triggers"], env=env, check=True, stdout=subprocess.DEVNULL)
            _wait(engine, CLIENT, events)
            triggered = [at - arrived for at in _waits(engine, CLIENT)]
        finally:
            dispatcher.send_signal(signal.SIGTERM)
            dispatcher.wait(60)
            engine.dispose()
    return {
        "high_messages": len(waits),
        "high_handed_over_p50_ms": round(median(waits) / 1e3),
        "high_handed_over_p99_ms": round(quantiles(waits, n=100)[98] / 1e3),
        "trigger_events": events,
        "trigger_handed_over_p95_s": round(quantiles(triggered, n=20)[18] / 1e6, 1),
    }


def _ask(store: IntakeStore, seconds: float, people: int) -> int:
    """Accept messages at an even pace; return how many."""
    asked, began = 0, time.monotonic()
    for tick in range(round(seconds / TICK_S)):
        group = ["high"] * HIGH_A_TICK + ["medium"] * MEDIUM_A_TICK
        store.accept([_draft(priority, (asked + n) % people) for n, priority in enumerate(group)])
        asked += len(group)
        time.sleep(max(0.0, began + (tick + 1) * TICK_S - time.monotonic()))
    return asked


def _draft(priority: str, number: int = 0) -> Draft:
    fields = {"user_id": sample_night.user(number), "campaign_id": "order", "class": "transactional"}
    made = draft(IntakeMessage.model_validate({**fields, "priority": priority}), "bench", now())
    assert isinstance(made, Draft)
    return made


def _waits(engine: Engine, client: str, since: str | None = None, high_only: bool = False) -> list[int]:
    """Return when messages were handed over, or how long after a column's instant."""
    m, s = messages.c, steps.c
    at = s.at_us if since is None else s.at_us - m[since]
    query = sa.select(at).join(steps, sa.and_(s.client == m.client, s.id == m.id, s.step == "queued"))
    query = query.where(m.client == client).order_by(m.id)
    with engine.connect() as connection:
        return list(connection.execute(query.where(m.priority == 0) if high_only else query).scalars())


def _wait(engine: Engine, client: str, number: int) -> None:
    ends = time.monotonic() + WAIT_S
    while len(_waits(engine, client)) < number:
        if time.monotonic() > ends:
            raise AngeliaError("the dispatcher did not hand everything over", fix="run it again, less loaded")
        time.sleep(0.2)


def _index(lake: Lake, people: int) -> None:
    """Write an index in which everybody is of the audience."""
    known = np.arange(1 << BITS) < people
    with lake.attempt("bitmap_index", ds=NIGHT) as attempt:
        rows = [
            BitmapRow(0, EVERYONE, "known", of_flags(known)),
            BitmapRow(0, "country", "value", of_flags(known), "AT"),
        ]
        entry = write_rows(lake, "bitmap_index", attempt.folder, rows, blocks=range(1), shards=(0, 0))
        attempt.add(entry)
        sizes = {"n_ordinals": people, "n_users": people, "history_days": 28}
        attempt.publish(meta={"shard_bits": BITS, "block_bits": BITS, **sizes})


def _arrive(lake: Lake, people: int) -> int:
    """Let an event of each person arrive; return when they were there."""
    at = datetime.now(UTC)
    rows = [
        {"event_id": f"e{n}", "user_id": sample_night.user(n), "event_type": "cart", "item": "camera",
         "value": 1.0, "event_ts": at}
        for n in range(people)
    ]  # fmt: skip
    with lake.attempt("user_events", ds=at.date().isoformat()) as attempt:
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_events")))
        attempt.write(table, "part-0000.parquet")
        attempt.publish()
    return now()

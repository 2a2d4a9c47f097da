"""A night with an index of eight people, and events that arrive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from angelia.audience.bitmaps.bitmaps import EVERYONE
from angelia.audience.bitmaps.blobs import BitmapRow, write_rows
from angelia.audience.bitmaps.sets import of_flags
from angelia.contracts import arrow, dataset
from angelia.intake.dispatching import sample_night
from angelia.intake.message import now
from angelia.intake.triggers.run import CLIENT, TriggerReport, TriggerRun
from angelia.lake import Lake
from tests.unit.intake.dispatching import NIGHT, Bench

MINUTE = 60_000_000
T = now() - 120 * MINUTE


BITS = sample_night.SHARD_BITS


LEFT = {
    **sample_night.SALE,
    "id": "left",
    "trigger": {"event": "cart", "without": "purchase", "within_minutes": 60},
}


def documents(*campaigns: dict[str, Any], **policy: Any) -> list[dict[str, Any]]:
    """Return the sample's documents with these campaigns; men are in no audience."""
    changed = {
        "audience": {"predicate": "gender = 'f'"},
        "policy": policy,
    }
    return [{**each, **changed.get(each["kind"], {})} for each in sample_night.DOCUMENTS] + list(campaigns)


def index(lake: Lake, people: int = 8, men: Sequence[int] = (7,)) -> None:
    """Write the night's bitmap index: women but for some, and whoever is rich is even."""
    here = np.arange(1 << BITS)
    known, man = here < people, np.isin(here, men)
    with lake.attempt("bitmap_index", ds=NIGHT) as attempt:
        rows = [
            BitmapRow(0, EVERYONE, "known", of_flags(known)),
            BitmapRow(0, "gender", "value", of_flags(known & ~man), "f"),
            BitmapRow(0, "gender", "value", of_flags(known & man), "m"),
            BitmapRow(0, "country", "value", of_flags(known & (here % 2 == 0)), "AT"),
            BitmapRow(0, "country", "value", of_flags(known & (here % 2 == 1)), "DE"),
        ]
        entry = write_rows(lake, "bitmap_index", attempt.folder, rows, blocks=range(1), shards=(0, 0))
        attempt.add(entry)
        sizes = {"n_ordinals": people, "n_users": people, "history_days": 28}
        attempt.publish(meta={"shard_bits": BITS, "block_bits": BITS, **sizes})


def arrive(lake: Lake, *events: tuple[int | str, str, int], keep: bool = True, name: str = "part") -> None:
    """Let events arrive today: (number of the person, or their id, type, instant)."""
    ds = datetime.now(UTC).date().isoformat()
    head = lake.head("user_events", ds=ds)
    rows = [
        {
            "event_id": f"e{who}-{event}-{at}",
            "user_id": who if isinstance(who, str) else sample_night.user(who),
            "event_type": event,
            "item": "camera",
            "value": 1.0,
            "event_ts": datetime.fromtimestamp(at / 1e6, UTC),
        }
        for who, event, at in events
    ]
    with lake.attempt("user_events", ds=ds) as attempt:
        number = 0
        for entry in head.files if head is not None and keep else ():
            attempt.add(entry)
            number += 1
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_events")))
        attempt.write(table, f"{name}-{number:04d}.parquet")
        attempt.publish(params={"n": head.number if head else 0})


def run(bench: Bench, at: int) -> TriggerReport:
    """Run the triggers once at an instant."""
    return TriggerRun(bench.lake, bench.engine, lambda: at).run()


def messages(bench: Bench) -> list[dict[str, Any]]:
    """Return what events set off, by person: ids of one millisecond have no order."""
    return sorted(bench.store.newest(CLIENT, 2**62), key=lambda row: (row["user_id"], row["id"]))


def users(bench: Bench) -> list[str]:
    return [row["user_id"] for row in messages(bench)]

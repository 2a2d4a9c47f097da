"""What a fold of new events costs beside a ledger of any size; a process measures one size.

`python -m benchmarks.measured.receive_fold HOME ROWS EVENTS` lengthens the ledger below HOME to ROWS rows,
lets the index learn them, folds EVENTS new events (one in twenty of a dispatch that is nobody's), folds them
again, and prints processor seconds and peak memory as JSON. Events are of messages all over thirteen days,
which is the worst case: most real ones are of the last hour. The peer is what folding did before it had an
index: it looks for the same dispatches in each ledger's column of ids.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.delivery.ledger.compaction import LEDGER_GROUP_ROWS
from angelia.delivery.manifest.rows import batches_of
from angelia.lake import Lake
from angelia.receive.finding.dispatches import index_folder
from angelia.receive.folding import Folding
from angelia.receive.journal import Event, Journal

_NOW = datetime(2026, 11, 29, 3, tzinfo=UTC)
_DAYS, _PART_ROWS, _FILE_ROWS, _SAMPLE = 13, 100_000, 50_000, 200


def main(argv: Sequence[str]) -> int:
    """Lengthen the ledger, fold, and print the figures."""
    home, rows, n_events = Path(argv[0]), int(argv[1]), int(argv[2])
    lake = Lake.open(str(home / "lake"), "main")
    samples = _lengthened(lake, home / "samples.json", rows)
    folding, journal = Folding(lake, index_folder(lake, home)), Journal(lake.store)
    first = [_event("0" * 32, f"first-{rows}")]  # nobody's, so every day is looked through
    figures: dict[str, Any] = {"rows": rows, "events": n_events}
    journal.keep(first, _NOW)
    figures["learning_processor_s"], _ = _timed(folding)
    drawn = np.random.default_rng(rows)
    ids = [samples[part][drawn.integers(_SAMPLE)] for part in drawn.integers(len(samples), size=n_events)]
    ids[::20] = [f"{drawn.integers(1 << 62):032x}" for _ in ids[::20]]
    events = [_event(name, f"{rows}-{number}") for number, name in enumerate(ids)]
    for figure in ("fold", "again"):
        for at in range(0, len(events), 500):
            journal.keep(events[at : at + 500], _NOW)
        figures[f"{figure}_processor_s"], counts = _timed(folding)
        figures[f"{figure}_receipts"] = counts["receipts"]
    figures["unknown"] = counts["unknown"]
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    figures["peer_processor_s"] = _scanned(lake, set(ids))
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _timed(folding: Folding) -> tuple[float, dict[str, int]]:
    begun = time.process_time()
    counts = folding.fold(_NOW)
    return round(time.process_time() - begun, 3), counts


def _event(dispatch: str, name: str) -> Event:
    return Event(name, dispatch, "opened", int((_NOW - timedelta(hours=1)).timestamp() * 1e6))


def _lengthened(lake: Lake, noted: Path, rows: int) -> list[list[str]]:
    """Commit the parts that a ledger of so many rows has more; return some ids of each part."""
    samples: list[list[str]] = json.loads(noted.read_text("utf-8")) if noted.exists() else []
    schema = arrow.schema(dataset("delivery_ledger"))
    for number in range(len(samples), -(-rows // _PART_ROWS)):
        drawn = np.random.default_rng([7, number])
        day = (_NOW - timedelta(days=number % _DAYS)).date()
        hour = f"{day}T{(number // _DAYS) % 24:02d}"
        heads = np.sort(drawn.integers(1 << 63, size=_PART_ROWS, dtype=np.uint64))
        table = _rows(schema, heads, drawn, day)
        with lake.attempt(
            "delivery_ledger", ds=str(day), send_hour=hour, part=f"fcm.low.{number:04d}"
        ) as attempt:
            for at in range(0, _PART_ROWS, _FILE_ROWS):
                attempt.write(
                    table.slice(at, _FILE_ROWS), f"part-{at // _FILE_ROWS:04d}.parquet",
                    row_group_size=LEDGER_GROUP_ROWS,
                )  # fmt: skip
            attempt.publish()
        samples.append(table["dispatch_id"].take(drawn.integers(_PART_ROWS, size=_SAMPLE)).to_pylist())
    noted.write_text(json.dumps(samples), "utf-8")
    return samples


def _rows(schema: pa.Schema, heads: Any, drawn: np.random.Generator, day: Any) -> pa.Table:
    n = len(heads)
    tails, messages = (drawn.integers(1 << 63, size=n, dtype=np.uint64) for _ in range(2))
    columns: dict[str, Any] = {
        "dispatch_id": _hex(heads, tails),
        "message_id": _hex(messages, heads),
        "user_id": pc.binary_join_element_wise(
            "u", pa.array(drawn.integers(10_000_000, size=n)).cast(pa.string()), ""
        ),
        "campaign_id": pa.array([f"c{i}" for i in range(50)]).take(pa.array(drawn.integers(50, size=n))),
        "material_id": pa.array([f"m{i}" for i in range(200)]).take(pa.array(drawn.integers(200, size=n))),
        "channel": pa.repeat("fcm", n),
        "outcome": pa.repeat("accepted", n),
        "sent_ts": pa.repeat(datetime(day.year, day.month, day.day, 5, tzinfo=UTC), n),
        "n_attempts": pa.repeat(1, n),
    }
    return pa.table(
        [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(n, field.type)
            for field in schema
        ],
        schema=schema,
    )


def _hex(heads: Any, tails: Any) -> pa.Array:
    """Return ids of 32 hex digits from two numbers each."""
    n = len(heads)
    digits = np.stack([heads, tails], axis=1).astype(">u8").tobytes().hex().encode()
    offsets = np.arange(0, 32 * n + 1, 32, dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(offsets), pa.py_buffer(digits)])


def _scanned(lake: Lake, wanted: set[str]) -> float:
    """Return the processor seconds of a look through every ledger, as without an index."""
    begun, values = time.process_time(), pa.array(sorted(wanted), pa.string())
    for leaf in lake.partitions("delivery_ledger"):
        for entry in lake.require("delivery_ledger", **leaf).files:
            for batch in batches_of(lake, entry, ["dispatch_id", "message_id", "user_id", "sent_ts"]):
                batch.filter(pc.is_in(batch.column("dispatch_id"), values)).to_pylist()
    return round(time.process_time() - begun, 3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

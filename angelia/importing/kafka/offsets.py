"""How far a topic was read: kept in the commit of `user_events` that holds the rows.

Grain: commit. Reads and writes `user_events`. Rows and offsets are one commit, so neither a killed run nor a
race can part them: a reader publishes on the head that it read, or not at all.

Surprise: events lie by the day they arrive. When a day is over, its leaf gets a last commit with the same
files that names the day on which reading goes on; of two readers around midnight the slower one finds the
head moved, and begins again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.lake import Commit, Lake

EVENTS = "user_events"
Offsets = Mapping[int, int]  # partition -> the next message to read


@dataclass(frozen=True)
class TopicPosition:
    """Where reading goes on: the leaf, the number of its head, and the offsets."""

    ds: str
    number: int
    offsets: Offsets | None  # None: never read


def find(lake: Lake, source: str, today: str) -> TopicPosition:
    """Return where a source is to be read on today; close the days that are over.

    Raises:
        Conflict: another reader did the same meanwhile.
    """
    place = _newest(lake, source)
    if place is None:
        return TopicPosition(today, lake.last_number(EVENTS, ds=today), None)
    # A clock that stands behind another reader's goes on in that one's day.
    while place.ds < today:
        publish(lake, place, source, None, place.offsets or {}, next_ds=today)
        place = TopicPosition(today, lake.last_number(EVENTS, ds=today), place.offsets)
    return place


def _newest(lake: Lake, source: str) -> TopicPosition | None:
    for leaf in reversed(lake.partitions(EVENTS)):
        # An import of the same day, or an erasure, may stand above the commit that has the note.
        numbers = lake.numbers(lake.branch, EVENTS, leaf, expired=True)
        for number in reversed(numbers):
            note = lake.load(lake.branch, EVENTS, leaf, number).meta.get("kafka", {}).get(source)
            if note is None:
                continue
            offsets = {int(partition): int(at) for partition, at in note["offsets"].items()}
            if not note["next"]:
                return TopicPosition(leaf["ds"], numbers[-1], offsets)
            # A run was killed between closing this day and its first commit of the next one.
            return TopicPosition(note["next"], lake.last_number(EVENTS, ds=note["next"]), offsets)
    return None


def publish(
    lake: Lake,
    place: TopicPosition,
    source: str,
    rows: pa.Table | None,
    offsets: Offsets,
    *,
    rejects: Mapping[str, int] | None = None,
    params: Mapping[str, Any] | None = None,
    next_ds: str = "",
) -> Commit:
    """Publish rows and the offsets that they lead to on the head of a place.

    Raises:
        Conflict: the head moved; nothing was written.
    """
    head = lake.head(EVENTS, ds=place.ds)
    files = head.files if head is not None else ()
    meta = dict(head.meta) if head is not None else {}
    noted = {"offsets": {str(partition): at for partition, at in sorted(offsets.items())}, "next": next_ds}
    meta["kafka"] = {**meta.get("kafka", {}), source: noted}
    counted = dict(head.rejects) if head is not None else {}
    for reason, n in (rejects or {}).items():
        counted[reason] = counted.get(reason, 0) + n
    with lake.attempt(EVENTS, ds=place.ds) as attempt:
        for entry in files:
            attempt.add(entry)
        # A leaf has a file, be it an empty one: jobs read the columns from it.
        if (rows is not None and rows.num_rows) or not files:
            table = rows if rows is not None else arrow.schema(dataset(EVENTS)).empty_table()
            attempt.write(table, f"kafka-{place.number + 1:06d}.parquet")
        return attempt.publish(params=params, meta=meta, rejects=counted, expected=place.number)

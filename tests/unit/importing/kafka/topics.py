"""A topic in memory, and the mapping that reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from angelia.importing.kafka.messages import SCHEMA
from angelia.importing.kafka.taking import Taker
from angelia.importing.mapping import Mapping as MappingDocument
from angelia.lake import Lake

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "name": "shop",
    "source": {
        "kafka": {"brokers": "localhost:9092", "topic": "events", "fields": ["id", "user.id", "what", "at"]}
    },
    "outputs": [
        {
            "dataset": "user_events",
            "input": "kafka",
            "distinct": True,
            "columns": {
                "event_id": "id",
                "user_id": "user.id",
                "event_type": "what",
                "event_ts": {"from": "at", "timestamp": {"unit": "iso"}},
            },
        }
    ],
}


def event(name: str, user: str = "u1", what: str = "cart", at: str = "2026-11-28T11:59:00Z") -> str:
    """Return an event's message."""
    return json.dumps({"id": name, "user": {"id": user}, "what": what, "at": at})


class FakeTopic:
    """Partitions as lists; `before_read` is called once, between offsets and messages."""

    def __init__(self, *partitions: list[str | None]) -> None:
        self.partitions = list(partitions)
        self.oldest = [0] * len(partitions)
        self.before_read: Callable[[], None] | None = None
        self.reads: list[Mapping[int, tuple[int, int]]] = []

    def ends(self) -> dict[int, tuple[int, int]]:
        return {n: (self.oldest[n], len(values)) for n, values in enumerate(self.partitions)}

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> pa.Table:
        if self.before_read is not None:
            call, self.before_read = self.before_read, None
            call()
        self.reads.append(ranges)
        rows = [
            {"partition": n, "offset": at, "timestamp_ms": 1, "value": self.partitions[n][at]}
            for n, (first, last) in ranges.items()
            for at in range(first, last)
        ]
        return pa.Table.from_pylist(rows, SCHEMA)


def taker(lake: Lake, home: Path, now: datetime = NOW, source: Mapping[str, Any] = {}, **more: Any) -> Taker:
    """Return who takes the topic at an instant."""
    document = {**DOCUMENT, "source": {"kafka": {**DOCUMENT["source"]["kafka"], **source}}}
    mine = Lake(lake.store, clock=lambda: now)
    sha256 = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    return Taker(mine, MappingDocument.model_validate(document), sha256, home, **more)


def days(lake: Lake) -> dict[str, list[str]]:
    """Return the ids of the events of each day of arrival."""
    return {
        leaf["ds"]: sorted(
            lake.read(lake.require("user_events", **leaf), ["event_id"])["event_id"].to_pylist()
        )
        for leaf in lake.partitions("user_events")
    }

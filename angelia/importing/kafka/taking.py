"""Take what a topic has that the lake has not: from the lake's offsets to the topic's end.

Grain: message. Reads a topic; writes `user_events`, a commit a portion, and samples of rejected rows. The end
is the one that the topic had when the run began, so a run ends however fast producers are.

Surprise: a few bad messages never hold the others up; only when a portion of a hundred messages or more has
too many is it refused, since the mapping is wrong then.
"""
# ruff: noqa: S608 - statements are made of names of our own; every value is a parameter.

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from angelia.contracts import dataset
from angelia.errors import Conflict, InvalidInput
from angelia.importing import mapping as mapping_document
from angelia.importing import rejects, staging
from angelia.importing.kafka.messages import NO_OBJECT, open_messages
from angelia.importing.kafka.offsets import EVENTS, Offsets, TopicPosition, find, publish
from angelia.importing.kafka.source import INPUT, KafkaSource
from angelia.importing.staged import Staged
from angelia.lake import Lake
from angelia.lake.views import scratch_connection
from angelia.output import percent

AT_ONCE = 200_000  # messages a portion: rows and their JSON are in memory at once
LEAST_JUDGED = 100  # messages: of fewer, one bad one would be too large a share
RACES = 3  # another writer of the day is an import or a second reader; both end
TOO_LATE, AHEAD, KNOWN = "more than three days late", "in the future", "already in the day"


class Topic(Protocol):
    """What is asked of a reader of one topic."""

    def ends(self) -> Mapping[int, tuple[int, int]]:
        """Return partition -> (oldest message that is still there, next one to come)."""

    def read(self, ranges: Mapping[int, tuple[int, int]]) -> pa.Table:
        """Return the messages from the first offsets up to the second ones, as `messages.SCHEMA`."""


@dataclass
class Taken:
    """What a run took."""

    mapping: str
    topic: str
    dry_run: bool
    read: int = 0
    rows: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    nulled: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    commits: list[str] = field(default_factory=list)
    reject_samples: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        counted = {
            word: dict(sorted(getattr(self, word).items())) for word in ("filtered", "rejected", "nulled")
        }
        return {**vars(self), **counted}


@dataclass(frozen=True)
class Taker:
    """A mapping with a Kafka source, and where its rows and rejects go."""

    lake: Lake
    mapping: mapping_document.Mapping
    mapping_sha256: str
    home: Path
    max_reject_pct: float = 5.0
    allow_lost: bool = False
    at_once: int = AT_ONCE

    @property
    def kafka(self) -> KafkaSource:
        """The topic's part of the mapping."""
        assert self.mapping.source is not None
        return self.mapping.source.kafka

    @property
    def source(self) -> str:
        """Name under which commits note offsets: another mapping of the topic reads it for itself."""
        return f"{self.mapping.name}:{self.kafka.topic}"

    def take(self, topic: Topic, *, dry_run: bool = False) -> Taken:
        """Read up to the topic's present end; a dry run maps the first portion and writes nothing.

        Raises:
            InvalidInput: messages expired unread, or a portion has too many bad ones; it is not written.
            Conflict: other writers came first, time after time.
        """
        if self.lake.branch != "main":
            raise InvalidInput(
                f"a topic is read into main, not {self.lake.branch}", fix="leave ANGELIA_BRANCH at main"
            )
        taken, ends, races = Taken(self.mapping.name, self.kafka.topic, dry_run), topic.ends(), 0
        while True:
            try:
                if not self._portion(topic, ends, taken):
                    return taken
            except Conflict:
                # What it wrote is seen by the next try, which goes on from there.
                races += 1
                if races > RACES:
                    raise
            if dry_run:
                return taken

    def _portion(self, topic: Topic, ends: Mapping[int, tuple[int, int]], taken: Taken) -> bool:
        """Take one portion; return whether there was anything to take."""
        now = self.lake.clock()
        place = find(self.lake, self.source, now.date().isoformat())
        start, lost = self._start(place, ends)
        ranges = _cut(start, ends, self.at_once)
        if not ranges and place.offsets is not None:
            return False
        if not ranges and not (self.kafka.start == "newest" and start):
            return False  # an empty topic: there is nothing to note yet
        reached = {**start, **{partition: end for partition, (_, end) in ranges.items()}}
        portion = Taken(taken.mapping, taken.topic, taken.dry_run, lost=lost)
        rows = self._map(topic.read(ranges), place, now, portion) if ranges else None
        if not taken.dry_run:
            commit = publish(
                self.lake,
                place,
                self.source,
                rows,
                reached,
                rejects=portion.rejected,
                params={"mapping": self.mapping.name, "mapping_sha256": self.mapping_sha256},
            )
            taken.commits.append(commit.ref)
        _add(taken, portion)
        return bool(ranges)

    def _start(self, place: TopicPosition, ends: Mapping[int, tuple[int, int]]) -> tuple[dict[int, int], int]:
        """Return where each partition is read from, and how many messages are gone unread."""
        start, lost = {}, 0
        for partition, (oldest, end) in sorted(ends.items()):
            if place.offsets is None and self.kafka.start == "newest":
                start[partition] = end
                continue
            # A partition that was added later is read whole.
            at = (place.offsets or {}).get(partition, oldest)
            if oldest <= at <= end:
                start[partition] = at
                continue
            # Expired by the topic's retention, or the topic was made anew and counts from 0 again.
            words = f"{oldest - at:,} messages expired" if at < oldest else f"it ends at {end}, read was {at}"
            if not self.allow_lost:
                raise InvalidInput(
                    f"topic {self.kafka.topic}, partition {partition}: {words} before they were read"
                    if at < oldest
                    else f"topic {self.kafka.topic}, partition {partition}: {words}; was it made anew?",
                    fix="--allow-lost goes on with the oldest message that is there",
                )
            lost += max(oldest - at, 0)
            start[partition] = oldest
        return start, lost

    def _map(self, messages: pa.Table, place: TopicPosition, now: datetime, portion: Taken) -> pa.Table:
        """Return a portion's rows, without those that the day has or must not have."""
        with scratch_connection("import") as connection:
            opened = open_messages(connection, self.kafka, messages)
            # A phone's clock may be ahead over midnight.
            beyond = (now.date() + timedelta(days=1)).isoformat()
            _, (item,) = staging.stage(connection, self.mapping, {INPUT: opened}, beyond)
            self._leave_out(connection, item, place, now)
            samples = rejects.write_samples(
                connection,
                [item],
                self.home.absolute() / "rejects",
                f"{self.mapping.name}-{place.ds}",
                opened.broken_lines,
                NO_OBJECT,
            )
            portion.read, portion.rows = item.n_read, item.n_kept
            portion.filtered, portion.rejected = Counter(item.filtered), Counter(item.rejected)
            portion.nulled = Counter(item.nulled)
            portion.reject_samples = str(samples) if samples else None
            self._refuse(item, portion)
            columns = ", ".join(f'"{column.name}"' for column in dataset(EVENTS).columns)
            rows = connection.sql(
                f"SELECT {columns} FROM {item.table} WHERE __filtered IS NULL AND __rejected IS NULL "
                "ORDER BY event_id"
            ).to_arrow_table()
            return rows.cast(pa.schema([pa.field(c.name, c.type) for c in dataset(EVENTS).columns]))

    def _leave_out(
        self, connection: duckdb.DuckDBPyConnection, item: Staged, place: TopicPosition, now: datetime
    ) -> None:
        """Filter what the contract of a day of arrival does not take, and what the day has already."""
        contract, head = dataset(EVENTS), self.lake.head(EVENTS, ds=place.ds)
        if head is not None:
            connection.register("known_events", self.lake.read(head, ["event_id"]))
        first = datetime.fromisoformat(place.ds).replace(tzinfo=now.tzinfo) - timedelta(
            days=contract.late_days or 0
        )
        rules: list[tuple[str, str, Mapping[str, object]]] = [
            (TOO_LATE, "event_ts < $first", {"first": first}),
            (AHEAD, "event_ts > $last", {"last": now + timedelta(hours=1)}),
        ]
        # Producers that try again send an event twice, at times in different portions.
        if head is not None:
            rules.append((KNOWN, "event_id IN (SELECT event_id FROM known_events)", {}))
        for reason, condition, params in rules:
            ((n,),) = connection.execute(
                f"UPDATE {item.table} SET __filtered = $reason "
                f"WHERE __filtered IS NULL AND __rejected IS NULL AND {condition}",
                {"reason": reason, **params},
            ).fetchall()
            if n:
                item.n_kept -= n
                item.filtered[reason] = item.filtered.get(reason, 0) + n

    def _refuse(self, item: Staged, portion: Taken) -> None:
        if item.n_read < LEAST_JUDGED or item.reject_pct <= self.max_reject_pct:
            return
        reason, n = max(item.rejected.items(), key=lambda entry: entry[1])
        raise InvalidInput(
            f"{EVENTS}: {sum(item.rejected.values()):,} of {item.n_read:,} messages rejected "
            f"({percent(item.reject_pct)} > {self.max_reject_pct:g} %), most for {reason!r} ({n:,}); "
            "they were not written, and stay to be read",
            fix=f"correct the mapping; samples are in {portion.reject_samples}",
        )


def _cut(start: Offsets, ends: Mapping[int, tuple[int, int]], at_once: int) -> dict[int, tuple[int, int]]:
    """Return the ranges of a portion: an equal share a partition that has anything."""
    open_ones = [partition for partition, at in start.items() if at < ends[partition][1]]
    share = max(at_once // max(len(open_ones), 1), 1)
    return {
        partition: (start[partition], min(start[partition] + share, ends[partition][1]))
        for partition in open_ones
    }


def _add(taken: Taken, portion: Taken) -> None:
    taken.read, taken.rows, taken.lost = (
        taken.read + portion.read,
        taken.rows + portion.rows,
        taken.lost + portion.lost,
    )
    for total, part in (
        (taken.filtered, portion.filtered),
        (taken.rejected, portion.rejected),
        (taken.nulled, portion.nulled),
    ):
        total.update(part)
    taken.reject_samples = portion.reject_samples or taken.reject_samples

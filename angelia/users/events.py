"""Events that arrived: new files of `user_events`, and who did what since a plan.

Grain: event. Reads `user_events`; writes nothing. Surprise: a leaf's next commit may cite the files of the
one before, which are not read again; a file that was written anew is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.sending import Micros
from angelia.lake import Lake
from angelia.lake.commit import FileEntry

EVENTS = "user_events"


@dataclass(frozen=True)
class Fresh:
    """What is new of one leaf: its name, its newest commit, the files that nobody read yet."""

    leaf: str
    number: int
    files: tuple[FileEntry, ...]


def fresh_files(lake: Lake, first: date, read: Mapping[str, int]) -> Iterator[Fresh]:
    """Yield what is new of the leaves from a day on.

    Args:
        read: the number of the commit of a leaf that was read last.
    """
    for leaf in lake.partitions(EVENTS):
        if leaf["ds"] < first.isoformat():
            continue
        head = lake.require(EVENTS, **leaf)
        name = head.ref.rpartition("@")[0]
        last = read.get(name, 0)
        if head.number > last:
            before = lake.load(lake.branch, EVENTS, leaf, last).files if last else ()
            known = {entry.identity for entry in before}
            yield Fresh(name, head.number, tuple(e for e in head.files if e.identity not in known))


class Happened:
    """When people first did certain things after a plan's closed day."""

    def __init__(self, lake: Lake, ds: str) -> None:
        self._lake, self._first = lake, date.fromisoformat(ds) + timedelta(days=1)
        self._since = round(datetime(*self._first.timetuple()[:3], tzinfo=UTC).timestamp() * 1e6)
        self.types: frozenset[str] = frozenset()
        self._read: dict[str, int] = {}
        self._at: dict[tuple[str, str], Micros] = {}

    def watch(self, types: Collection[str]) -> bool:
        """Look for these types, too; return whether they are news, and all is to be read again."""
        if self.types.issuperset(types):
            return False
        self.types, self._read = self.types | frozenset(types), {}
        return True

    def refresh(self) -> bool:
        """Read what arrived since the last call; return whether anything of it counts."""
        if not self.types:
            return False
        # `watch` may be called meanwhile: what it wants is read next, and this note of what was read is gone.
        read, wanted, changed = self._read, pa.array(sorted(self.types), pa.string()), False
        for fresh in fresh_files(self._lake, self._first, read):
            for entry in fresh.files:
                table = self._lake.read_file(entry, ["user_id", "event_type", "event_ts"])
                table = table.filter(pc.is_in(table["event_type"], wanted))
                columns = (table["user_id"].to_pylist(), table["event_type"].to_pylist())
                for user, event, at in zip(
                    *columns, table["event_ts"].cast(pa.int64()).to_pylist(), strict=True
                ):
                    if user is not None and at is not None and at >= self._since:
                        changed = True
                        self._at[user, event] = min(at, self._at.get((user, event), at))
            read[fresh.leaf] = fresh.number
        return changed

    def at(self, user: str, event: str) -> Micros | None:
        """Return when a person first did something after the plan's day, None if they did not."""
        return self._at.get((user, event))

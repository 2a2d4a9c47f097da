"""Events that arrived since they were last read: the new files of `user_events`, each once.

Grain: event of a type that a campaign waits for. Reads `user_events`; writes nothing. Surprise: a leaf's next
commit may cite the files of the one before, which are not read again; a file that was written anew is, and
whoever keeps what is read here knows an event that comes twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.sending import Micros
from angelia.contracts.sources import ID, MISSING_IDS
from angelia.lake import Lake
from angelia.users.events import Fresh, fresh_files

LATE_DAYS = 3  # as the contract allows; what is later belongs to a moment that has passed
AHEAD_US = 3_600_000_000  # clocks of phones differ; what claims to be later than that is not believed
_ID = re.compile(ID)


@dataclass
class Arrived:
    """What is new of one leaf."""

    leaf: str
    number: int
    events: list[tuple[str, str, Micros, str]] = field(default_factory=list)  # user, type, when, item
    dropped: Counter[str] = field(default_factory=Counter)


def arrivals(
    lake: Lake, types: Collection[str], read: Mapping[str, int], now: Micros, back_days: int
) -> Iterator[Arrived]:
    """Yield what is new of each leaf.

    Args:
        types: event types that are looked for.
        read: the number of the commit of a leaf that was read last.
        back_days: for so many days back events may still set something off.
    """
    first = datetime.fromtimestamp(now / 1e6, UTC).date() - timedelta(days=back_days)
    for fresh in fresh_files(lake, first, read):
        yield _of(lake, fresh, types, now)


def _of(lake: Lake, fresh: Fresh, types: Collection[str], now: Micros) -> Arrived:
    arrived = Arrived(fresh.leaf, fresh.number)
    wanted = pa.array(sorted(types), pa.string())
    for entry in fresh.files:
        table = lake.read_file(entry, ["user_id", "event_type", "item", "event_ts"])
        table = table.filter(pc.is_in(table["event_type"], wanted))
        at = table["event_ts"].cast(pa.int64()).to_pylist()
        columns = (table[column].to_pylist() for column in ("user_id", "event_type", "item"))
        for user, event, item, moment in zip(*columns, at, strict=True):
            if user is None or user in MISSING_IDS or not _ID.fullmatch(user) or moment is None:
                arrived.dropped["not_valid"] += 1
            elif moment > now + AHEAD_US:
                arrived.dropped["in_the_future"] += 1
            else:
                arrived.events.append((user, event, moment, (item or "")[:200]))
    return arrived

"""Rows whose device has had all messages of their class that its provider takes a day.

Grain: row of a part. Reads `delivery_ledger` of plans and of the intake, the part's own rows; writes nothing.
A ledger names no address: a message went to a device if the device's address gives its dispatch id. Surprise:
the plan has counted already; this finds what came between, and messages that no cap holds. A part of the
intake is not looked through: its dispatcher counts as it decides, for batches are many and small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.ids import dispatch_id
from angelia.contracts.outcomes import ACCEPTED, AMBIGUOUS, MARKETING
from angelia.contracts.sending import MAX_TTL_HOURS, PLAN_LIFE_DAYS, Micros
from angelia.delivery.manifest.parts import Part, hour_start
from angelia.delivery.manifest.rows import columns_of
from angelia.lake import Commit, Lake

DAY_US = 24 * 3_600_000_000
_KEPT_ROWS = 500_000  # of ledgers, for the parts that come next
_LEDGER = ("user_id", "campaign_id", "message_id", "dispatch_id", "channel", "outcome", "sent_ts")
_ROW = ("user_id", "campaign_id", "address", "dispatch_id")


class DeviceCounts:
    """What devices got in the last 24 hours, for the parts of one run."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._kept: dict[str, pa.Table] = {}

    def over(self, part: Part, most: Mapping[str, int], classes: Mapping[str, str], now: Micros) -> set[int]:
        """Return the rows of a part for which their device has no room.

        Args:
            most: messages a day by class; a class that is left out has no limit.
            classes: of campaigns; who is not in it sends marketing.
        """
        if part.batch or not most:
            return set()
        table = columns_of(self._lake, part.entry, _ROW)
        rows = range(table.num_rows) if part.rows is None else part.rows
        columns = {name: table[name].to_pylist() for name in _ROW}
        # Most campaigns are of a class that has no limit here, and their ledgers need not be read.
        limited = [row for row in rows if classes.get(columns["campaign_id"][row], MARKETING) in most]
        if not limited:
            return set()
        past = self._past({columns["user_id"][row] for row in limited}, part.channel, classes, now)
        n_before: Counter[tuple[str, str, str]] = Counter()
        full: set[int] = set()
        for row in limited:
            user, campaign, address, own = (columns[name][row] for name in _ROW)
            kind = classes.get(campaign, MARKETING)
            device = user, kind, address
            if device not in n_before:
                n_before[device] = sum(
                    other != own and dispatch_id(message, part.channel, address) == other
                    for message, other in past.get((user, kind), ())
                )
            if n_before[device] >= most[kind]:
                full.add(row)
            # Refused ones count, too: a part that is taken up again then refuses the same rows.
            n_before[device] += 1
        return full

    def _past(
        self, users: set[str], channel: str, classes: Mapping[str, str], now: Micros
    ) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Return (message, dispatch) of what may have arrived in 24 hours, by person and class."""
        wanted = pa.array(sorted(users), pa.string())
        past: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for table in self._ledgers(channel, now):
            recent = pc.greater(table["sent_ts"].cast(pa.int64()), now - DAY_US)
            mine = table.filter(pc.and_(pc.fill_null(recent, False), pc.is_in(table["user_id"], wanted)))
            for row in mine.to_pylist():
                key = row["user_id"], classes.get(row["campaign_id"], MARKETING)
                past.setdefault(key, []).append((row["message_id"], row["dispatch_id"]))
        return past

    def _ledgers(self, channel: str, now: Micros) -> Iterator[pa.Table]:
        today = datetime.fromtimestamp(now / 1e6, UTC).date()
        oldest = now - DAY_US - MAX_TTL_HOURS * 3_600_000_000
        for back in range(PLAN_LIFE_DAYS + 1):
            ds = (today - timedelta(days=back)).isoformat()
            for leaf in self._lake.partitions("delivery_ledger", ds=ds):
                # The name of a partition holds its channel; most are of others, and are not opened.
                if f".{channel}." in f".{leaf['part']}" and oldest <= hour_start(leaf["send_hour"]) <= now:
                    yield self._sent(self._lake.require("delivery_ledger", **leaf), channel)

    def _sent(self, commit: Commit, channel: str) -> pa.Table:
        table = self._kept.get(commit.ref)
        if table is None:
            table = self._lake.read(commit, list(_LEDGER))
            may_be_there = pc.is_in(table["outcome"], pa.array([ACCEPTED, AMBIGUOUS]))
            table = table.filter(pc.and_(may_be_there, pc.equal(table["channel"], channel)))
            if table.num_rows + sum(other.num_rows for other in self._kept.values()) <= _KEPT_ROWS:
                self._kept[commit.ref] = table
        return table

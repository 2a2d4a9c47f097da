"""What became of a planned message: emitted, sent, opened.

Grain: message. Reads dispatch_manifest, delivery_ledger, user_pushes and push_receipts; writes nothing.
Surprise: only the parts of the message's hour are looked through, so the cost is that of an hour's messages.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.asking.records import Fate
from angelia.contracts.outcomes import MACHINE
from angelia.lake import Commit, FileEntry, Lake
from angelia.lake.commit import leaf_folder
from angelia.lake.lake import MAIN
from angelia.users.one_person import PersonLake

OPEN_DAYS = 2  # days after a message's own in which an open of it may be counted
OPENS_AT_MOST = 2_000_000  # kept, some 45 bytes each: the opens of a few nights of ten million people
_OPENS = ["message_id", "receipt_ts"]


class Openings:
    """When messages were opened, by the receipts of the commits that were asked about last.

    Receipts lie in the order of their own ids, so a message is looked for among all of a night; a tenth of
    them or less are of opens. An erasure empties what is kept, since it remembers messages.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()
        self._n_erasures = -1

    def of(self, lake: Lake, commit: Commit) -> pa.Table:
        """Return (message_id, receipt_ts) of a commit's opens by people; machines open nothing.

        Raises:
            Corrupt: a file is missing or damaged.
        """
        name, n_erasures = commit.citation(), lake.erasures()
        with self._lock:
            if n_erasures != self._n_erasures:
                self._kept.clear()
                self._n_erasures = n_erasures
            table = self._kept.get(name)
            if table is not None:
                self._kept.move_to_end(name)
                return table
        table = _opens(lake.read(commit, ["kind", "reason", *_OPENS]))
        with self._lock:
            # An erasure meanwhile: what was read before it is not kept.
            if n_erasures == self._n_erasures:
                self._kept[name] = table
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > OPENS_AT_MOST:
                self._kept.popitem(last=False)
        return table


def _opens(receipts: pa.Table) -> pa.Table:
    by_machine = pc.fill_null(pc.equal(receipts["reason"], MACHINE), False)
    return receipts.filter(pc.and_not(pc.equal(receipts["kind"], "opened"), by_machine)).select(_OPENS)


def fate_of(
    lake: Lake,
    person: PersonLake,
    ds: str,
    campaign: str,
    message: str,
    slot: datetime,
    openings: Openings | None = None,
) -> Fate:
    """Return what became of a message of night `ds` that was planned for the hour `slot` (UTC).

    Without `openings`, where they are kept between questions, receipts are looked through for the message.
    """
    manifest = lake.head("dispatch_manifest", ds=ds)
    if manifest is None:
        return Fate("not_emitted", None, "no manifests have been made of this night yet", None, None)
    if campaign in manifest.params.get("held_back", ()):
        return Fate("held_back", None, "the guard held the campaign back", None, None)
    hour = f"{slot:%Y-%m-%dT%H}"
    rows = [
        row
        for leaf in lake.partitions("delivery_ledger", ds=ds, send_hour=hour)
        if (commit := lake.head("delivery_ledger", **leaf)) is not None
        for row in _of_message(lake, commit, ["outcome", "reason", "channel", "sent_ts"], message)
    ]
    if not rows:
        emitted = [
            entry
            for entry in manifest.files
            if entry.keys.get("send_hour", hour) in (hour, f"send_hour={hour}")
        ]
        if not _in_files(lake, emitted, message):
            return Fate(
                "not_emitted", None, "no row of the manifests: its address or hour was gone", None, None
            )
        return Fate("not_sent_yet", None, None, None, None)
    # A message that fell over to another channel has a row of each: the one that was sent tells most.
    row = max(rows, key=lambda row: (row["outcome"] == "accepted", row["sent_ts"] is not None))
    opened = _opened(lake, person, ds, message, slot, openings)
    of_channel = [other["outcome"] for other in rows if other["channel"] == row["channel"]]
    devices = (of_channel.count("accepted"), len(of_channel)) if len(of_channel) > 1 else None
    return Fate(row["outcome"], row["channel"], row["reason"], row["sent_ts"], opened, devices)


def _of_message(lake: Lake, commit: Commit, columns: list[str], message: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for entry in commit.files:
        # The keys alone first: most parts do not hold the message.
        at = pc.index(lake.read_file(entry, ["message_id"])["message_id"], message).as_py()
        if at >= 0:
            table = lake.read_file(entry, ["message_id", *columns])
            rows += table.filter(pc.equal(table["message_id"], message)).to_pylist()
    return rows


def _in_files(lake: Lake, entries: Iterable[FileEntry], message: str) -> bool:
    return any(
        pc.index(lake.read_file(entry, ["message_id"])["message_id"], message).as_py() >= 0
        for entry in entries
    )


def _opened(
    lake: Lake, person: PersonLake, ds: str, message: str, slot: datetime, openings: Openings | None
) -> datetime | None:
    """Return when it was opened: by later nights' days, else by the receipts themselves."""
    days = [(slot.date() + timedelta(days=shift)).isoformat() for shift in range(OPEN_DAYS + 1)]
    made = [commit for day in days if (commit := lake.head("user_pushes", ds=day)) is not None]
    moments: list[datetime] = []
    for commit in made:
        table = person.read(commit, ["message_id", "kind", "at_ts"])
        moments += _moments(table, "at_ts", message)
    if not moments and len(made) < len(days):
        # Later days are not aggregated yet.
        for commit in _receipts_of_others(lake, ds):
            if openings is not None:
                opens = openings.of(lake, commit)
                moments += opens.filter(pc.equal(opens["message_id"], message))["receipt_ts"].to_pylist()
                continue
            moments += [
                row["receipt_ts"]
                for row in _of_message(lake, commit, ["kind", "receipt_ts", "reason"], message)
                if row["kind"] == "opened" and row["reason"] != MACHINE
            ]
    return min(moments, default=None)


def _receipts_of_others(lake: Lake, ds: str) -> list[Commit]:
    """Return a night's receipts but for the worker's own, which say nothing of opens.

    Those are most of the night's partitions, so their folders are not listed.
    """
    folder = leaf_folder(MAIN, "push_receipts", {"ds": ds})
    sources = [child.removeprefix("source=") for child in lake.store.children(folder)]
    return [
        commit
        for source in sorted(sources)
        if source != "worker"
        for leaf in lake.partitions("push_receipts", ds=ds, source=source)
        if (commit := lake.head("push_receipts", **leaf)) is not None
    ]


def _moments(table: pa.Table, column: str, message: str) -> list[datetime]:
    mine = pc.and_(pc.equal(table["message_id"], message), pc.equal(table["kind"], "opened"))
    return list(table.filter(mine)[column].to_pylist())

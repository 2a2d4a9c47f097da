"""Receipts into `push_receipts` (source=receive): a fold adds rows and rewrites few.

Grain: event. A leaf is a plan day and an hour. Reads and writes `push_receipts`. Surprise: a leaf has several
files, each at least twice as large as the next smaller one up to half a million rows, so that a row is
rewritten a dozen times at most however often a fold adds to its hour.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.delivery.manifest.rows import columns_of, rows_by_id
from angelia.errors import Conflict
from angelia.lake import Commit, FileEntry, Lake
from angelia.receive.finding.runs import U64, prefixes
from angelia.receive.journal import OPT_OUTS, Event

_NAME = ("receipt_id", "dispatch_id", "kind")
_HELD_NAMES = 1 << 24  # 128 MiB of names, in memory for the files that were asked about last
_FULL_ROWS = 500_000  # a file that is not rewritten any more
_GROUP_ROWS = 8_192  # what is read where a receipt may stand already


def digest(text: str) -> str:
    """Return the name of what is said once (32 hex digits)."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class HourlyReceipts:
    """Adds receipts to one lake; it knows the names in files it has read, so keep it."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._names: OrderedDict[str, tuple[U64, frozenset[str]]] = OrderedDict()

    def add(
        self, events: Iterable[Event], facts: Mapping[str, Mapping[str, Any]], columns: Sequence[str]
    ) -> int:
        """Add receipts to the leaf of their plan day and hour; return how many were new."""
        leaves: dict[tuple[str, str], dict[str, tuple[Event, dict[str, Any]]]] = {}
        for event in events:
            row, at = facts[event.dispatch_id], datetime.fromtimestamp(event.at_us / 1e6, UTC)
            receipt = {
                "receipt_id": digest(event.key),
                "kind": "unsubscribed" if event.kind in OPT_OUTS else event.kind,
                # A complaint is worse than an opt-out; both are `unsubscribed`, so the reason says which.
                "reason": event.kind if event.kind == "complaint" else event.reason,
                "receipt_ts": at,
                "sent_ts": row["sent_ts"],
            }
            # What bears the time of its coming would, repeated an hour later, stand in two leaves.
            hour = (row["sent_ts"] or datetime.fromisoformat(row["ds"])) if event.is_arrival else at
            rows = leaves.setdefault((row["ds"], hour.strftime("%Y-%m-%dT%H")), {})
            rows[receipt["receipt_id"]] = event, {name: row[name] for name in columns} | receipt
        return sum(
            self._add({"ds": ds, "source": "receive", "part": hour}, rows)
            for (ds, hour), rows in leaves.items()
        )

    def _add(self, leaf: dict[str, str], receipts: Mapping[str, tuple[Event, dict[str, Any]]]) -> int:
        """Commit the rows that a leaf lacks; if somebody else commits meanwhile, look again."""
        schema = arrow.schema(dataset("push_receipts"))
        for _ in range(20):
            # The number before the head: whatever is committed between the two is noticed below.
            last = self._lake.last_number("push_receipts", **leaf)
            head = self._lake.head("push_receipts", **leaf)
            fresh = self._fresh(head, receipts)
            if not fresh:
                return 0
            table, kept = pa.Table.from_pylist(fresh, schema=schema), list[FileEntry]()
            for entry in sorted(head.files if head is not None else (), key=lambda entry: entry.rows):
                # A small file is written again together with the new rows; a large one stays as it is.
                if kept or entry.rows > 2 * table.num_rows or entry.rows + table.num_rows > _FULL_ROWS:
                    kept.append(entry)
                else:
                    table = pa.concat_tables([self._lake.read_file(entry, schema.names), table])
            with self._lake.attempt("push_receipts", **leaf) as attempt:
                for entry in kept:
                    attempt.add(entry)
                name = f"part-{attempt.nonce}.parquet" if kept else "part-0000.parquet"
                attempt.write(table.sort_by("receipt_id"), name, row_group_size=_GROUP_ROWS)
                try:
                    attempt.publish(expected=last)
                except Conflict:
                    continue
            return len(fresh)
        raise Conflict("other processes keep committing the same receipts", fix="run one `angelia receive`")

    def _fresh(
        self, head: Commit | None, receipts: Mapping[str, tuple[Event, dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Return the rows that a commit does not have."""
        # Receipts used to be named by the caller's id alone: those already folded are not folded again.
        names = {name: {name, event.id} for name, (event, _) in receipts.items()}
        asked = sorted({word for both in names.values() for word in both})
        there: set[tuple[str, str, str]] = set()
        for entry in head.files if head is not None else ():
            hits = self._maybe(entry, asked)
            rows = rows_by_id(self._lake, entry, _NAME, hits, "receipt_id") if hits else []
            there |= {tuple(row[name] for name in _NAME) for row in rows}
        known = {name for name, _, _ in there}
        return [
            row
            for name, (event, row) in receipts.items()
            if name not in known and (event.id, row["dispatch_id"], row["kind"]) not in there
        ]

    def _maybe(self, entry: FileEntry, names: Sequence[str]) -> list[str]:
        """Return the names that a file may have, by their first 64 bits."""
        keys, others = self._names_of(entry)
        own = [name for name in names if _is_digest(name)]
        wanted = prefixes(pa.array(own, pa.string()))
        at = np.searchsorted(keys, wanted)
        hits = np.flatnonzero(keys[np.minimum(at, len(keys) - 1)] == wanted).tolist() if len(keys) else []
        return [own[position] for position in hits] + [name for name in names if name in others]

    def _names_of(self, entry: FileEntry) -> tuple[U64, frozenset[str]]:
        """Return the prefixes of a file's names, sorted, and the names that have another form."""
        if entry.path in self._names:
            self._names.move_to_end(entry.path)
            return self._names[entry.path]
        ids = columns_of(self._lake, entry, ["receipt_id"])["receipt_id"].combine_chunks()
        is_digest = pc.match_substring_regex(ids, "^[0-9a-f]{32}$")
        keys, others = prefixes(ids.filter(is_digest)), ids.filter(pc.invert(is_digest))
        keys.sort()
        self._names[entry.path] = keys, frozenset(others.to_pylist())
        # What was asked about longest ago goes first; the file just read always stays.
        while len(self._names) > 1 and sum(len(held) for held, _ in self._names.values()) > _HELD_NAMES:
            self._names.popitem(last=False)
        return self._names[entry.path]


def _is_digest(name: str) -> bool:
    return len(name) == 32 and set(name) <= frozenset("0123456789abcdef")

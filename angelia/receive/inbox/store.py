"""Messages of inboxes in the lake, and where each person's stand.

Writes `inbox_messages` (one leaf for all messages that arrived while the disk was busy); reads it, and the
receipts of its channels. Grain: message. Surprises: memory holds eight bytes a message, a hash of its person,
which tells the few leaves that must be read; messages and marks of other processes are seen after `LOOK_S`
and `LOOK_MARKS_S`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.sending import ANSWERED_DAYS, INBOX_DAYS
from angelia.errors import AngeliaError, NotFound
from angelia.intake.database import Unavailable
from angelia.lake import Lake
from angelia.receive.journal import Journal

LOOK_S, LOOK_MARKS_S = 2.0, 60.0
MOST = 200  # messages in an answer, the newest
_RANK = {"new": 0, "displayed": 1, "opened": 2}


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """One message as it is kept."""

    dispatch_id: str
    user_id: str
    channel: str
    title: str
    body: str
    link: str | None
    collapse_key: str | None
    stored_ts: datetime
    expires_ts: datetime


class InboxStore:
    """The messages of all inboxes, and what their people did with them."""

    def __init__(self, lake: Lake, now: Callable[[], datetime]) -> None:
        self._lake, self._now = lake, now
        self._people: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.uint64]]] = {}
        self._channels: set[str] = set()
        self._marks: dict[str, str] = {}
        self._seen_heads: dict[tuple[str, str], int] = {}
        self._looked = self._looked_marks = -1e9
        self._lock = threading.Lock()

    def accept(self, drafts: Sequence[InboxMessage], /) -> list[None]:
        """Keep messages; when this returns they are durable. Raises: Unavailable."""
        rows = sorted({draft.dispatch_id: draft for draft in drafts}.values(), key=lambda row: row.user_id)
        table = pa.Table.from_pylist(list(map(asdict, rows)), schema=arrow.schema(dataset("inbox_messages")))
        leaf = {"ds": str(self._now().astimezone(UTC).date()), "part": secrets.token_hex(8)}
        try:
            with self._lake.attempt("inbox_messages", **leaf) as attempt:
                attempt.write(table, "part-0000.parquet")
                attempt.publish()
        except (AngeliaError, OSError) as error:
            raise Unavailable(f"the inbox cannot be written ({type(error).__name__})") from None
        with self._lock:
            self._take_in(leaf["ds"], leaf["part"])
        return [None] * len(drafts)

    def messages_of(self, user: str) -> list[dict[str, Any]]:
        """Return a person's messages that have not expired, newest first, with their state."""
        with self._lock:
            self._look()
            person = _hash(user)
            leaves = [leaf for leaf, people in self._people.items() if _holds(people, person)]
        now, rows = self._now(), list[dict[str, Any]]()
        for ds, part in leaves:
            try:
                table = self._lake.read(self._lake.require("inbox_messages", ds=ds, part=part))
            except NotFound:  # it has expired
                continue
            rows += table.filter(pc.equal(table["user_id"], user)).to_pylist()
        rows.sort(key=lambda row: row["stored_ts"], reverse=True)
        shown, keys = dict[str, dict[str, Any]](), set[str]()
        for row in rows:
            key = row["collapse_key"]
            if row["expires_ts"] <= now or row["dispatch_id"] in shown or key in keys:
                continue
            if key:
                keys.add(key)
            shown[row["dispatch_id"]] = row | {"state": self._marks.get(row["dispatch_id"], "new")}
        return list(shown.values())[:MOST]

    def mark(self, dispatches: Sequence[str], state: str) -> None:
        """Note what a person did with messages: it shows at once, before its receipts are folded."""
        with self._lock:
            for dispatch in dispatches:
                self._set(dispatch, state)

    def _set(self, dispatch: str, state: str) -> None:
        if _RANK[state] > _RANK[self._marks.get(dispatch, "new")]:
            self._marks[dispatch] = state

    def _look(self) -> None:
        """Read what other processes, or an earlier one, wrote since the last look."""
        moment, today = time.monotonic(), self._now().astimezone(UTC).date()
        if moment - self._looked >= LOOK_S:
            # A day that is over gets no more messages: all of them are listed once, then the last two.
            first = self._looked < 0
            for back in range(INBOX_DAYS if first else 2):
                ds = str(today - timedelta(days=back))
                for leaf in self._lake.partitions("inbox_messages", ds=ds):
                    if (ds, leaf["part"]) not in self._people:
                        self._take_in(ds, leaf["part"])
            oldest = str(today - timedelta(days=INBOX_DAYS))
            self._people = {leaf: people for leaf, people in self._people.items() if leaf[0] > oldest}
            self._looked = moment
        if moment - self._looked_marks >= LOOK_MARKS_S:
            if self._looked_marks < 0:
                # What was marked before this process began may wait in the journal for its ledger.
                for _, events in Journal(self._lake.store).pending():
                    for event in events:
                        if event.kind in _RANK:
                            self._set(event.dispatch_id, event.kind)
            for back in range(ANSWERED_DAYS):
                self._read_marks(str(today - timedelta(days=back)))
            self._looked_marks = moment

    def _take_in(self, ds: str, part: str) -> None:
        commit = self._lake.require("inbox_messages", ds=ds, part=part)
        table = self._lake.read(commit, ["user_id", "channel"])
        people = np.fromiter((_hash(user) for user in table["user_id"].to_pylist()), np.uint64)
        self._people[ds, part] = np.sort(people)
        self._channels |= set(table["channel"].unique().to_pylist())

    def _read_marks(self, ds: str) -> None:
        channels = pa.array(sorted(self._channels), pa.string())
        for leaf in self._lake.partitions("push_receipts", ds=ds, source="receive"):
            commit = self._lake.require("push_receipts", **leaf)
            if self._seen_heads.get((ds, leaf["part"])) == commit.number:
                continue
            self._seen_heads[ds, leaf["part"]] = commit.number
            table = self._lake.read(commit, ["dispatch_id", "kind", "channel"])
            for row in table.filter(pc.is_in(table["channel"], channels)).to_pylist():
                if row["kind"] in _RANK:
                    self._set(row["dispatch_id"], row["kind"])


def _hash(user: str) -> int:
    return int.from_bytes(blake2b(user.encode(), digest_size=8).digest(), "little")


def _holds(people: np.ndarray[Any, np.dtype[np.uint64]], person: int) -> bool:
    at = int(np.searchsorted(people, np.uint64(person)))
    return at < len(people) and int(people[at]) == person

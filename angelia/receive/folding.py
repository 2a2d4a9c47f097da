"""Journalled events into `push_receipts` (source=receive) and `suppressions`.

Reads the journal, seals, manifests, `delivery_ledger`, `user_endpoints`. Grain: event. A receipt needs the
ledger, which knows when its message was sent; an opt-out needs only the manifest, so it holds before its part
is done. Surprises: folding again changes nothing, because receipts and entries are named after caller,
dispatch, kind and the caller's id (two callers may use the same ids). A dispatch that no plan of the last
days contains is counted as unknown, and looked up again until its day is over. Opt-outs are looked up in
every ledger, and kept until they are placed. A text message that says STOP names no dispatch: it closes the
channel for the person who has its number in the newest `user_endpoints`. A bounce ends an address only if its
reason says so: `hard`, or an enhanced status code (RFC 3463) that e-mail calls gone. A fold costs as much as
it has events: `finding/` reads each ledger once, and later only the parts of it that may hold an event's
dispatch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.sending import ANSWERED_DAYS
from angelia.delivery.channels.base import GONE
from angelia.delivery.channels.smtp import ENHANCED
from angelia.errors import Corrupt
from angelia.lake import Lake
from angelia.lake.failpoint import failpoint
from angelia.receive.devices import DeviceWords
from angelia.receive.finding.dispatches import FACTS, Dispatches, readable
from angelia.receive.finding.lists import Lists
from angelia.receive.inbox.beacons import PERSON, foreign
from angelia.receive.journal import OPT_OUTS, Event, Journal
from angelia.receive.owners import Owners, about
from angelia.receive.receipts import HourlyReceipts, digest
from angelia.users.suppressions import address_hash, address_key

log = logging.getLogger(__name__)

_REASONS = {"unsubscribed": "unsubscribed", "stop": "unsubscribed", "complaint": "complaint"}


class Folding:
    """Folds the journal of one lake; `folder` keeps its index of the ledgers."""

    def __init__(self, lake: Lake, folder: Path | None = None) -> None:
        self._lake, self._journal = lake, Journal(lake.store)
        self._dispatches, self._receipts = Dispatches(lake, folder), HourlyReceipts(lake)
        self._lists = Lists(lake, folder)
        self._owners, self._devices = Owners(lake), DeviceWords(lake, self._dispatches)

    def fold(self, now: datetime) -> Counter[str]:
        """Place what can be placed; return counts.

        Counts: receipts, suppressions, devices (that said something new), waiting (known, not yet in the
            ledger), unknown, foreign (an app's word on another person's message), unreadable (days and hours
            of plans), and damaged (requests).
        """
        journal, dispatches, counts = self._journal, self._dispatches, Counter[str]()
        damaged: list[Corrupt] = []
        with readable(counts):
            dispatches.forget(now)
        pending = list(journal.pending(damaged))
        for error in damaged:
            log.error("not folded: %s", error.one_line())
            counts["damaged"] += 1
        if not pending:
            journal.forget(now)
            return counts
        # Before anything is named after its dispatch: a phone of a list knows the list and its token only.
        every = [event for _, some in pending for event in some]
        listed = self._lists.of({event.dispatch_id for event in every if event.dispatch_id}, now, counts)
        for event in every:
            event.dispatch_id = listed.get(event.dispatch_id, event.dispatch_id)
        events = {event.key: event for event in every}
        wanted = {event.dispatch_id for event in events.values() if event.dispatch_id}
        days = recent_days(now)
        sent = dispatches.sent(wanted, days, now, counts)
        planned = sent | dispatches.planned(wanted - set(sent), days, now, counts)
        # An opt-out counts however old its message is: people unsubscribe from a mail weeks later. Ledgers
        # hold no address, so they are kept long enough.
        late = {
            event.dispatch_id for event in events.values() if event.kind in OPT_OUTS and event.dispatch_id
        } - set(planned)
        if late:
            older = [ds for ds in dispatches.ledger_days() if ds not in days]
            sent_before = dispatches.sent(late, older, now, counts)
            sent, planned = sent | sent_before, planned | sent_before
        # Who wrote from a number that no snapshot has is looked for again, as an unknown dispatch is.
        with readable(counts):
            planned |= self._owners.of([event for event in events.values() if event.address_hash])
        # A person's app speaks of that person's messages only; what it says of others is over here.
        if any(event.person for event in every):
            key = address_key(self._lake.store)
            for name in foreign(events, sent, lambda user: address_hash(key, PERSON, user)):
                counts["foreign"] += 1
                del events[name]
        counts["suppressions"] = self._suppress(events.values(), planned)
        failpoint("fold.suppressed")
        placed = [event for event in events.values() if event.dispatch_id in sent]
        counts["receipts"] = self._receipts.add(placed, sent, FACTS)
        if n_devices := self._devices.note(placed, sent):
            counts["devices"] = n_devices
        failpoint("fold.placed")
        _note(journal, pending, sent, planned, now)
        journal.forget(now)
        counts["waiting"] = sum(
            event.dispatch_id in planned and event.dispatch_id not in sent for event in events.values()
        )
        counts["unknown"] = sum(about(event) not in planned for event in events.values())
        return counts

    def _suppress(self, events: Iterable[Event], facts: Mapping[str, Mapping[str, Any]]) -> int:
        """Append an entry for each opt-out and each dead address.

        An opt-out is this person's, through the channel it came back on; a dead address is this address of
        this person.
        """
        opt_outs = [
            event for event in events if (event.kind in OPT_OUTS or _is_gone(event)) and about(event) in facts
        ]
        if not opt_outs:
            return 0
        named = {digest(f"receive:{event.key}"): event for event in opt_outs}
        # A request may be folded twice, after a crash between append and note: its entries are known then.
        log_ids = self._lake.read_log("suppressions")["entry_id"]
        known = set(log_ids.filter(pc.is_in(log_ids, pa.array(list(named), pa.string()))).to_pylist())
        fresh = {entry: event for entry, event in named.items() if entry not in known}
        addressed = self._dispatches.addresses(
            facts[event.dispatch_id] for event in fresh.values() if _is_gone(event)
        )
        # The key is made on first use, so it is opened only where an address is hashed.
        key, entries = address_key(self._lake.store) if addressed else b"", []
        for entry, event in fresh.items():
            row, hashed, reason = facts[about(event)], None, _REASONS.get(event.kind, "gone")
            if reason == "gone":
                # Its hour's manifest has expired, so nobody knows any more which address it was.
                if event.dispatch_id not in addressed:
                    continue
                hashed = address_hash(key, row["channel"], addressed[event.dispatch_id])
            who = {"user_id": row["user_id"], "channel": row["channel"], "address_hash": hashed}
            entries.append(
                {
                    "entry_id": entry,
                    **who,
                    "since_ts": datetime.fromtimestamp(event.at_us / 1e6, UTC),
                    "reason": reason,
                }
            )
        if entries:
            self._lake.append_log(
                "suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))
            )
        return len(entries)


def fold(lake: Lake, now: datetime) -> Counter[str]:
    """Fold the journal once, with an index in memory."""
    return Folding(lake).fold(now)


def _note(
    journal: Journal,
    pending: Iterable[tuple[str, list[Event]]],
    sent: Mapping[str, object],
    planned: Mapping[str, object],
    now: datetime,
) -> None:
    """Mark groups as placed; their rest goes on in a smaller group of the same day.

    Otherwise a single unknown dispatch would make every fold read its group of thousands again.
    """
    left: dict[str, list[Event]] = {}
    over: list[str] = []
    for key, events in pending:
        # After its days are over a group waits for its opt-outs only; the rest of it is not looked for again.
        is_old = journal.is_old(key, now)
        awaited = [event for event in events if event.kind in OPT_OUTS] if is_old else events
        # Of a text message nothing but its opt-out is placed, so it waits for no ledger.
        waiting = [
            event
            for event in awaited
            if about(event) not in (planned if is_old or not event.dispatch_id else sent)
        ]
        if len(waiting) < len(events):
            over.append(key)
            if waiting:
                left.setdefault(key.partition("/")[0], []).extend(waiting)
    for day, waiting in left.items():
        journal.keep(waiting, day)
        failpoint("fold.kept")
    for key in over:
        journal.folded(key)
        failpoint("fold.moved")


def recent_days(now: datetime) -> list[str]:
    """Return the plan days whose messages may be answered now.

    These are the last days that sent, and days that were answered late.
    """
    return [(now.astimezone(UTC).date() - timedelta(days=back)).isoformat() for back in range(ANSWERED_DAYS)]


def _is_gone(event: Event) -> bool:
    return (
        event.kind == "bounced"
        and event.reason is not None
        and (event.reason == "hard" or ENHANCED.get(event.reason) == GONE)
    )

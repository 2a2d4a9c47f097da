"""Journalled events into `push_receipts` (source=receive) and `suppressions`.

Reads the journal, seals, manifests, `delivery_ledger`, `user_endpoints`. Grain: event. A receipt needs the
ledger (when was it sent), an opt-out only the manifest: it holds before its part is done. Surprises:
everything may be folded again without effect (receipts and entries are named after caller, dispatch, kind and
the caller's id, which alone would be anybody's); a dispatch that no plan of the last days has is counted as
unknown and looked for again until its day is over; opt-outs are looked for in every ledger there is, and kept
until they are placed. A text message that says STOP names no dispatch: it closes the channel for whoever the
newest `user_endpoints` give its number. A bounce ends an address only if its reason says so: `hard`, or an
enhanced status code (RFC 3463) that e-mail calls gone.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts import arrow, dataset
from angelia.contracts.sending import ANSWERED_DAYS
from angelia.delivery.channels.base import GONE
from angelia.delivery.channels.smtp import ENHANCED
from angelia.delivery.manifest import parts
from angelia.delivery.manifest.rows import batches_of
from angelia.errors import AngeliaError, Conflict, Corrupt
from angelia.lake import FileEntry, Lake
from angelia.receive.journal import OPT_OUTS, Event, Journal
from angelia.receive.owners import Owners, about
from angelia.users.suppressions import address_hash, address_key

log = logging.getLogger(__name__)

_FACTS = ("dispatch_id", "message_id", "user_id", "campaign_id", "material_id", "channel")
_REASONS = {"unsubscribed": "unsubscribed", "stop": "unsubscribed", "complaint": "complaint"}


def fold(lake: Lake, now: datetime, owners: Owners | None = None) -> Counter[str]:
    """Place what can be placed; return counts.

    `owners` remembers numbers from one fold to the next.

    Counts: receipts, suppressions, waiting (known, not yet in the ledger), unknown, unreadable (days
        and hours of plans), and damaged (requests).
    """
    journal, counts, damaged = Journal(lake.store), Counter[str](), list[Corrupt]()
    pending = list(journal.pending(damaged))
    for error in damaged:
        log.error("not folded: %s", error.one_line())
        counts["damaged"] += 1
    events = {event.key: event for _, some in pending for event in some}
    if not events:
        journal.forget(now)
        return counts
    wanted = {event.dispatch_id for event in events.values() if event.dispatch_id}
    days = _recent(now)
    sent = _in_ledger(lake, wanted, days, counts)
    planned = sent | _in_manifests(lake, wanted - set(sent), days, _FACTS, counts)
    # An opt-out counts however old its message is: people unsubscribe from a mail weeks later. Ledgers hold
    # no address, so they are kept long enough.
    late = {
        event.dispatch_id for event in events.values() if event.kind in OPT_OUTS and event.dispatch_id
    } - set(planned)
    if late:
        older = sorted({leaf["ds"] for leaf in lake.partitions("delivery_ledger")} - set(days), reverse=True)
        sent_before = _in_ledger(lake, late, older, counts)
        sent, planned = sent | sent_before, planned | sent_before
    # Who wrote from a number that no snapshot has is looked for again, as a dispatch that is not known is.
    with _readable(counts):
        numbers = [event for event in events.values() if event.address_hash]
        planned |= (owners or Owners(lake)).of(numbers)
    counts["suppressions"] = _suppress(lake, events.values(), planned, now)
    counts["receipts"] = _receipts(
        lake, [event for event in events.values() if event.dispatch_id in sent], sent
    )
    _note(journal, pending, sent, planned, now)
    journal.forget(now)
    counts["waiting"] = sum(
        event.dispatch_id in planned and event.dispatch_id not in sent for event in events.values()
    )
    counts["unknown"] = sum(about(event) not in planned for event in events.values())
    return counts


def _note(
    journal: Journal,
    pending: Iterable[tuple[str, list[Event]]],
    sent: Mapping[str, object],
    planned: Mapping[str, object],
    now: datetime,
) -> None:
    """Mark groups as placed; their rest goes on in a smaller group of the same day.

    Without that a single dispatch of somebody else's would let a group of thousands be read again and again.
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
    for key in over:
        journal.folded(key)


def _recent(now: datetime) -> list[str]:
    """Return the plan days whose messages may be answered now.

    These are the last days that sent, and days that were answered late.
    """
    return [(now.astimezone(UTC).date() - timedelta(days=back)).isoformat() for back in range(ANSWERED_DAYS)]


def _in_ledger(
    lake: Lake, wanted: set[str], days: Iterable[str], counts: Counter[str]
) -> dict[str, dict[str, Any]]:
    """Return the facts of dispatches in a committed ledger: plan day and first sending instant.

    Days are read newest first.
    """
    sent: dict[str, dict[str, Any]] = {}
    for ds in days:
        if wanted <= sent.keys():
            break
        with _readable(counts):
            for leaf in lake.partitions("delivery_ledger", ds=ds):
                for entry in lake.require("delivery_ledger", **leaf).files:
                    for row in _rows(lake, entry, (*_FACTS, "sent_ts"), wanted):
                        if row["sent_ts"] is not None or row["dispatch_id"] not in sent:
                            sent[row["dispatch_id"]] = {**row, "ds": ds}
    return sent


def _in_manifests(
    lake: Lake, wanted: set[str], days: Iterable[str], columns: Iterable[str], counts: Counter[str]
) -> dict[str, dict[str, Any]]:
    """Return columns of dispatches that stand in sealed hours."""
    planned: dict[str, dict[str, Any]] = {}
    for ds in days if wanted else ():
        hours: dict[str, int] = {}
        with _readable(counts):
            hours = parts.sealed_hours(lake, ds)
        for hour, number in hours.items():
            with _readable(counts):
                for part in parts.parts_of(lake, lake.as_of("dispatch_manifest", number, ds=ds), hour):
                    if part.rows is None:
                        planned |= {
                            row["dispatch_id"]: {**row, "ds": ds}
                            for row in _rows(lake, part.entry, columns, wanted)
                        }
    return planned


@contextmanager
def _readable(counts: Counter[str]) -> Iterator[None]:
    """Count an unreadable day or hour, and go on.

    It must not hold back everybody else's opt-outs; its own are looked for again.
    """
    try:
        yield
    except (AngeliaError, OSError) as error:
        log.error("a plan's day or hour could not be read while folding: %s", type(error).__name__)
        counts["unreadable"] += 1


def _rows(lake: Lake, entry: FileEntry, columns: Iterable[str], wanted: set[str]) -> list[dict[str, Any]]:
    values = pa.array(sorted(wanted), pa.string())
    rows: list[dict[str, Any]] = []
    for batch in batches_of(lake, entry, list(columns)):
        rows += batch.filter(pc.is_in(batch.column("dispatch_id"), values)).to_pylist()
    return rows


def _suppress(
    lake: Lake, events: Iterable[Event], facts: Mapping[str, Mapping[str, Any]], now: datetime
) -> int:
    """Append an entry for each opt-out and each dead address.

    An opt-out is this person's, through the channel it came back on; a dead address is this address of this
    person.
    """
    opt_outs = [
        event for event in events if (event.kind in OPT_OUTS or _is_gone(event)) and about(event) in facts
    ]
    known = set(lake.read_log("suppressions")["entry_id"].to_pylist()) if opt_outs else set()
    # A request may be folded twice, after a crash between append and note: its entries are known then.
    fresh = {entry: event for event in opt_outs if (entry := _digest(f"receive:{event.key}")) not in known}
    dead = {event.dispatch_id for event in fresh.values() if _is_gone(event)}
    addressed = _in_manifests(lake, dead, _recent(now), ("dispatch_id", "address"), Counter())
    # The key is made on first use, so it is opened only where an address is hashed.
    key, entries = address_key(lake.store) if addressed else b"", []
    for entry, event in fresh.items():
        row, hashed, reason = facts[about(event)], None, _REASONS.get(event.kind, "gone")
        if reason == "gone":
            # Its hour's manifest has expired, so nobody knows any more which address it was.
            if event.dispatch_id not in addressed:
                continue
            hashed = address_hash(key, row["channel"], addressed[event.dispatch_id]["address"])
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
        lake.append_log(
            "suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))
        )
    return len(entries)


def _is_gone(event: Event) -> bool:
    return (
        event.kind == "bounced"
        and event.reason is not None
        and (event.reason == "hard" or ENHANCED.get(event.reason) == GONE)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _receipts(lake: Lake, events: list[Event], facts: Mapping[str, Mapping[str, Any]]) -> int:
    """Add receipts to the leaf of their plan day and hour; return how many were new."""
    leaves: dict[tuple[str, str], dict[str, tuple[Event, dict[str, Any]]]] = {}
    for event in events:
        row, at = facts[event.dispatch_id], datetime.fromtimestamp(event.at_us / 1e6, UTC)
        receipt = {
            "receipt_id": _digest(event.key),
            "kind": "unsubscribed" if event.kind in OPT_OUTS else event.kind,
            # A complaint is worse than an opt-out, and both are `unsubscribed`: the reason tells them apart.
            "reason": event.kind if event.kind == "complaint" else event.reason,
            "receipt_ts": at,
            "sent_ts": row["sent_ts"],
        }
        # What bears the time of its coming would, repeated an hour later, stand in two leaves.
        hour = (row["sent_ts"] or datetime.fromisoformat(row["ds"])) if event.is_arrival else at
        rows = leaves.setdefault((row["ds"], hour.strftime("%Y-%m-%dT%H")), {})
        rows[receipt["receipt_id"]] = event, {name: row[name] for name in _FACTS} | receipt
    return sum(
        _add(lake, {"ds": ds, "source": "receive", "part": hour}, rows) for (ds, hour), rows in leaves.items()
    )


def _add(lake: Lake, leaf: dict[str, str], receipts: Mapping[str, tuple[Event, dict[str, Any]]]) -> int:
    """Commit the rows of a leaf that it does not have yet.

    If somebody else commits between our reading and ours, both are kept.
    """
    schema, n_new = arrow.schema(dataset("push_receipts")), 0
    rows = {name: row for name, (_, row) in receipts.items()}
    # Receipts used to be named by the caller's id alone: those already folded are not folded again.
    once = {name: (event.id, row["dispatch_id"], row["kind"]) for name, (event, row) in receipts.items()}
    for attempt_number in range(20):
        head = lake.head("push_receipts", **leaf)
        there = lake.read(head).select(schema.names).to_pylist() if head is not None else []
        known = {row["receipt_id"] for row in there}
        older = {(row["receipt_id"], row["dispatch_id"], row["kind"]) for row in there}
        fresh = [row for name, row in rows.items() if name not in known and once.get(name) not in older]
        n_new = n_new if attempt_number else len(fresh)
        if not fresh:
            return n_new
        table = pa.Table.from_pylist([*there, *fresh], schema=schema).sort_by("receipt_id")
        with lake.attempt("push_receipts", **leaf) as attempt:
            attempt.write(table, "part-0000.parquet")
            commit = attempt.publish()
        overtaken = range((head.number if head is not None else 0) + 1, commit.number)
        for number in overtaken:
            theirs = lake.read(lake.as_of("push_receipts", number, **leaf)).select(schema.names).to_pylist()
            rows = {row["receipt_id"]: row for row in theirs} | rows
        if not overtaken:
            return n_new
    raise Conflict("other processes keep committing the same receipts", fix="run one `angelia receive`")

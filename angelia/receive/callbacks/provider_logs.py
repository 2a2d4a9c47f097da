"""Deliveries that providers write down and call nobody about, as events of dispatches.

Grain: delivery. Reads files and `delivery_ledger`, whose `provider_id` joins the two; writes nothing. FCM's
delivery data come as BigQuery exports the table `firebase_messaging.data` (Parquet, CSV, or a JSON object a
line), SNS's delivery status as CloudWatch Logs has it (a JSON object a line, maybe behind a time). Sources:
"Understand message delivery" (firebase.google.com/docs/cloud-messaging/understand-delivery) and "Amazon SNS
mobile app attributes" (docs.aws.amazon.com/sns/latest/dg/sns-msg-status.html), both read 2026-11-29.

Surprise: FCM's ids "might, in some cases, not be globally unique", so an id that two dispatches have is left
out. SNS's SUCCESS says that FCM or APNs took the push, which is no delivery, and only its failures count.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset

from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.receive.callbacks.base import NotOurs, make_event
from angelia.receive.journal import Event

FCM_COLUMNS = ("event", "event_timestamp", "message_id")
DELIVERED = "MESSAGE_DELIVERED"
Report = tuple[str, str, datetime, str | None]  # provider's id, kind, instant, reason
Reading = Callable[[Mapping[str, Any]], Report | None]


def read_log(path: Path) -> Iterator[Report | None]:
    """Yield what a file says, None for a line that is not as documented.

    Raises:
        InvalidInput: it cannot be read, or is of another kind.
    """
    names = path.name.lower().removesuffix(".gz")
    try:
        if names.endswith((".parquet", ".csv")):
            yield from _of_table(path, "parquet" if names.endswith(".parquet") else "csv")
        else:
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    yield from _of_line(line)
    except (OSError, pa.ArrowException) as error:
        raise InvalidInput(
            f"{path.name} could not be read ({type(error).__name__})",
            fix="give the export as Parquet, CSV, or one JSON object a line",
        ) from None


def events_of(
    lake: Lake, reports: Iterable[Report | None], days: Sequence[str], now: datetime
) -> tuple[list[Event], Counter[str]]:
    """Return the events of dispatches in these days' ledgers, and counts of the rest.

    Counts: not_documented, not_ours (no such id), not_unique (two dispatches have it), too_old.
    """
    counts, first = Counter[str](), dict[tuple[str, str], Report]()
    for report in reports:
        if report is None:
            counts["not_documented"] += 1
        else:
            # Exports overlap: of one delivery the earliest report holds, so a repetition changes nothing.
            key = report[:2]
            first[key] = min(report, first.get(key, report), key=lambda each: each[2])
    dispatches = _dispatches(lake, {name for name, _ in first}, days)
    events = []
    for (name, kind), (_, _, at, reason) in sorted(first.items()):
        mine = dispatches.get(name, [])
        if len(mine) != 1:
            counts["not_unique" if mine else "not_ours"] += 1
            continue
        try:
            events.append(make_event("provider_log", name, mine[0], kind, now, at=at, reason=reason))
        except NotOurs:
            counts["too_old"] += 1
    return events, counts


def _dispatches(lake: Lake, wanted: set[str], days: Sequence[str]) -> dict[str, list[str]]:
    """Return the dispatches of each provider's id.

    FCM's stands behind the last slash of its message's name.
    """
    ids, dispatches = pa.array(sorted(wanted), pa.string()), dict[str, list[str]]()
    for ds in days:
        for leaf in lake.partitions("delivery_ledger", ds=ds):
            rows = lake.read(lake.require("delivery_ledger", **leaf), ["dispatch_id", "provider_id"])
            names = pc.replace_substring_regex(rows["provider_id"], "^.*/", "")
            is_wanted = pc.fill_null(pc.is_in(names, ids), False)
            hits = rows.set_column(1, "name", names).filter(is_wanted)
            for dispatch, name in zip(hits["dispatch_id"].to_pylist(), hits["name"].to_pylist(), strict=True):
                if dispatch not in dispatches.setdefault(name, []):
                    dispatches[name].append(dispatch)
    return dispatches


def _of_table(path: Path, form: str) -> Iterator[Report | None]:
    table = pa_dataset.dataset(path, format=form)
    missing = [name for name in FCM_COLUMNS if name not in table.schema.names]
    if missing:
        raise InvalidInput(
            f"{path.name} has no column {missing[0]}",
            fix="export the table firebase_messaging.data with event, event_timestamp and message_id",
        )
    for batch in table.to_batches(columns=list(FCM_COLUMNS), filter=pc.field("event") == DELIVERED):
        for row in batch.to_pylist():
            yield from _documented(_fcm, row)


def _of_line(line: str) -> Iterator[Report | None]:
    try:
        document = json.loads(line[line.index("{") :]) if line.strip() else {}
    except (ValueError, RecursionError):
        yield None
        return
    if document:
        yield from _documented(_sns if "notification" in document else _fcm, document)


def _documented(read: Reading, row: Mapping[str, Any]) -> Iterator[Report | None]:
    """Yield what a row says, nothing if it says nothing of a delivery."""
    try:
        report = read(row)
    except (ValueError, KeyError, TypeError, OverflowError):
        yield None
    else:
        if report is not None:
            yield report


def _fcm(row: Mapping[str, Any]) -> Report | None:
    if row["event"] != DELIVERED:
        return None
    return str(row["message_id"]), "delivered", _instant(row["event_timestamp"]), None


def _sns(row: Mapping[str, Any]) -> Report | None:
    if row["status"] != "FAILURE":
        return None
    of, reason = row["notification"], f"HTTP_{int(row['delivery']['statusCode'])}"
    return str(of["messageId"]), "bounced", _instant(of["timestamp"]), reason


def _instant(value: Any) -> datetime:
    """Return an instant; both write UTC. Raises: ValueError."""
    # BigQuery's texts end with the word.
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).removesuffix(" UTC"))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at

"""Announce to running workers what an apply changed on channels.

Appends to the lake's log `channel_changes`; the catalog itself has been written by then. Grain: channel.
Surprise: if the log cannot be written, the change holds from the next night on only, and the command fails.
"""

from __future__ import annotations

import secrets
from datetime import datetime

import pyarrow as pa

from angelia.catalog.apply import ApplyPlan
from angelia.catalog.documents import canonical
from angelia.contracts import arrow, dataset
from angelia.lake import Lake


def tell_workers(lake: Lake, planned: ApplyPlan, at: datetime) -> list[str]:
    """Append the channels that an apply changed or removed; return them.

    A channel that was created is in no plan yet.
    """
    changes = [
        item.change
        for item in planned.items
        if item.kind == "channel" and item.change is not None and item.action in ("changed", "removed")
    ]
    if not changes:
        return []
    rows = [
        {
            "entry_id": secrets.token_hex(8),
            "channel": change.id,
            "version": change.expected + 1,
            "body": None if change.document is None else canonical(change.document),
            "at_ts": at,
        }
        for change in changes
    ]
    lake.append_log(
        "channel_changes", pa.Table.from_pylist(rows, schema=arrow.schema(dataset("channel_changes")))
    )
    return [change.id for change in changes]

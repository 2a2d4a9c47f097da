"""The owner of the number that a text message came from: its event names no dispatch.

Reads the newest `user_endpoints`, and `registered_addresses`. Grain: event. Surprise: an address that two
people registered is its newest owner's, as it is when it is written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from angelia.lake import Lake
from angelia.receive.journal import Event
from angelia.users.registered import COLUMNS, amended, last_words
from angelia.users.suppressions import address_hashes, address_key


def about(event: Event) -> str:
    """Return what an event is about: its dispatch, or channel and hash of its number."""
    return event.dispatch_id or f"{event.caller}:{event.address_hash}"


def owners_of(lake: Lake, events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """Return user and channel of the events that name an address, where somebody has it."""
    leaves = lake.partitions("user_endpoints") if events else []
    if not leaves:
        return {}
    commit = lake.require("user_endpoints", **leaves[-1])
    key, wanted = address_key(lake.store), {(event.caller, event.address_hash) for event in events}
    channels = sorted({channel for channel, _ in wanted})
    owners: dict[str, tuple[datetime, dict[str, Any]]] = {}
    words = last_words(lake)
    for entry in commit.files:
        table = amended(lake.read_file(entry, COLUMNS), words)
        for row in table.filter(pc.is_in(table["channel"], pa.array(channels, pa.string()))).to_pylist():
            for hashed in address_hashes(key, row["channel"], row["address"]):
                if (row["channel"], hashed) not in wanted:
                    continue
                name, since = f"{row['channel']}:{hashed}", row["registered_ts"]
                if name not in owners or since > owners[name][0]:
                    owners[name] = since, {"user_id": row["user_id"], "channel": row["channel"]}
    return {name: facts for name, (_, facts) in owners.items()}

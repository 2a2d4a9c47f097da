"""Messages to several devices: which of them no device can have.

Grain: row of a part. Reads the part's manifest file; writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from angelia.contracts.outcomes import DEFERRED
from angelia.delivery.manifest.parts import Part
from angelia.delivery.manifest.rows import columns_of
from angelia.lake import Lake


def whole_messages(
    lake: Lake, part: Part, best: pa.Table, known: Sequence[int], rows: Sequence[int], to_all: Collection[str]
) -> list[int]:
    """Return the rows without those of messages that another device has, or may get.

    Messages of the campaigns `to_all` have a row for each device, all in one file. Only a message that none
    of them can take needs another channel: what is gone, off or spent on every device.
    """
    facts = columns_of(lake, part.entry, ["campaign_id", "message_id"]).to_pydict()
    messages = facts["message_id"]
    # What is deferred into another follow-up part may still be sent there.
    is_waiting = set(best.filter(pc.equal(best["outcome"], DEFERRED))["row"].to_pylist()).difference(rows)
    is_out = set(known) - is_waiting
    kept = {
        messages[row]
        for row, campaign in enumerate(facts["campaign_id"])
        if campaign in to_all and row not in is_out
    }
    return [row for row in rows if messages[row] not in kept]

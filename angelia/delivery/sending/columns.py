"""A batch's rows as plain columns, and the hash of each row's payload.

Both are made in small steps, so that other batches' requests leave meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from angelia.delivery.ledger.first_sight import payload_hash

COLUMNS = (
    "dispatch_id", "user_id", "campaign_id", "occurrence", "address", "template_id", "template_version",
    "fields", "locale", "priority", "guarantee", "topic",
    "not_before", "not_after", "timezone", "quiet_start", "quiet_end", "collapse_key", "ttl_s",
)  # fmt: skip


async def plain_columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return the columns as lists, letting the event loop turn between them.

    All at once would hold up what other batches have to send.
    """
    column = {}
    for name in COLUMNS:
        column[name] = _plain(table[name])
        await asyncio.sleep(0)
    return column


async def payload_hashes(
    column: dict[str, list[Any]], channel: str, digest: Callable[[str, int], bytes]
) -> bytes:
    """Return the payload hashes of the rows, joined in their order.

    The event loop turns in between.
    """
    made = []
    for i, (template, version) in enumerate(
        zip(column["template_id"], column["template_version"], strict=True)
    ):
        if i % 256 == 0:
            await asyncio.sleep(0)
        made.append(payload_hash(channel, digest(template, version), column, i))
    return b"".join(made)


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.int64()).to_pylist())
    return list(column.to_pylist())

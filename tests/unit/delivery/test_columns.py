"""A batch's rows as plain columns; the event loop turns while they are made."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pyarrow as pa

from angelia.contracts.rows import valid_rows
from angelia.delivery.sending.columns import COLUMNS, payload_hashes, plain_columns


def test_columns_are_lists_and_instants_microseconds() -> None:
    table = valid_rows("dispatch_manifest", 5)
    at = datetime(2026, 11, 15, 4, tzinfo=UTC)
    place = table.column_names.index("not_before")
    table = table.set_column(place, "not_before", pa.array([at] * 5, table.schema.field("not_before").type))
    column = asyncio.run(plain_columns(table))
    assert set(column) == set(COLUMNS)
    assert column["not_before"] == [int(at.timestamp() * 1e6)] * 5
    assert column["dispatch_id"] == table["dispatch_id"].to_pylist()


def test_a_hash_is_of_the_row_its_channel_and_its_template() -> None:
    table = valid_rows("dispatch_manifest", 3)

    async def hashes(channel: str, text: bytes) -> list[bytes]:
        column = await plain_columns(table)
        joined = await payload_hashes(column, channel, lambda template, version: text)
        assert len(joined) % 3 == 0
        size = len(joined) // 3
        return [joined[at : at + size] for at in range(0, len(joined), size)]

    first = asyncio.run(hashes("fcm", b"t1"))
    assert asyncio.run(hashes("fcm", b"t1")) == first
    assert len(set(first)) == 3
    assert not set(first) & set(asyncio.run(hashes("apns", b"t1")))
    assert not set(first) & set(asyncio.run(hashes("fcm", b"t2")))


def test_other_tasks_run_while_columns_are_made() -> None:
    turns: list[int] = []

    async def main() -> None:
        async def other() -> None:
            while True:
                turns.append(1)
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await plain_columns(valid_rows("dispatch_manifest", 3))
        task.cancel()

    asyncio.run(main())
    assert len(turns) >= len(COLUMNS)

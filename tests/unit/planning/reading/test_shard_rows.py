"""Past messages are read once each, from wherever they are mentioned first."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.lake import Lake
from angelia.planning.reading import Blocks, PastSources, ShardRows, past_messages

DS, START = "2026-11-14", np.datetime64("2026-11-15T04", "us")


def push(ordinal: int, key: str, campaign: str, hour: int, kind: str = "sent") -> dict[str, object]:
    at = datetime(2026, 11, 14, hour, tzinfo=UTC)
    return {"ordinal": ordinal, "message_id": key, "campaign_id": campaign, "material_id": "hello",
            "channel": "fcm", "kind": kind, "at_ts": at, "sent_ts": at}  # fmt: skip


@pytest.fixture
def sources(lake: Lake) -> PastSources:
    """Return a day on which two people of shard 0 and one of shard 1 got messages."""
    rows = [push(5, "a", "sale", 9), push(5, "a", "sale", 10, "opened"), push(7, "b", "news", 12),
            push(5, "a", "sale", 13), push(16, "c", "sale", 9)]  # fmt: skip
    with lake.attempt("user_pushes", ds=DS) as attempt:
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("user_pushes")))
        attempt.write(table, "part-0000.parquet", conform=False, shards=(0, 1))
        attempt.publish()
    return PastSources((lake.require("user_pushes", ds=DS),), DS, ["sale"], None, (), None)


def past(read: ShardRows, sources: PastSources, *, by_channel: bool = False) -> list[tuple[object, ...]]:
    ordinals = np.arange(16, dtype=np.uint32)
    had = past_messages(read, sources, ordinals, [f"u{i}" for i in range(16)], START, by_channel=by_channel)
    assert had.channel is None or had.channel.to_pylist() == ["fcm"] * len(had.user)
    assert (had.channel is not None) is by_channel
    return list(zip(had.user.tolist(), had.campaign.to_pylist(), had.hours.tolist(), strict=True))


def test_a_message_counts_once_and_where_it_is_first_told(lake: Lake, sources: PastSources) -> None:
    read = ShardRows(lake, 0, 4)
    assert past(read, sources) == [(5, "sale", -19.0), (7, "news", -16.0)]
    assert past(read, sources, by_channel=True) == past(read, sources)


def test_a_block_has_its_own_peoples_messages(lake: Lake, sources: PastSources) -> None:
    assert past(ShardRows(lake, 0, 4, Blocks((3,), 1)), sources) == [(7, "news", -16.0)]
    assert past(ShardRows(lake, 0, 4, Blocks((0,), 1)), sources) == []

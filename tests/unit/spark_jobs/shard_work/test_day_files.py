"""A group's rows of a day become one file, and what was rejected comes back as counts."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from angelia.lake import Lake
from spark_jobs.shard_work.day_files import Target, event_writer, push_writer

DAY = "2026-11-14"
NOON = datetime(2026, 11, 14, 12, tzinfo=UTC)


def target(lake: Lake, name: str) -> Target:
    return Target(lake.store.url, "main", None, name, {DAY: f"{name}/ds={DAY}/attempt-x"}, 2, 1)


def answers(table: pa.Table) -> list[dict[str, Any]]:
    return [json.loads(text) for text in table["answer"].to_pylist()]


def pushes(*rows: dict[str, Any]) -> pa.Table:
    base = {
        "ordinal": 4, "message_id": "a" * 32, "campaign_id": "sale", "material_id": "plain", "channel": "fcm",
        "kind": "sent", "at_ts": NOON, "sent_ts": NOON, "slot_propensity": None, "material_propensity": None,
        "day": date(2026, 11, 14), "reason": None, "is_receipt": True,
    }  # fmt: skip
    return pa.Table.from_pylist([base | row for row in rows])


def test_rejected_rows_only_come_back_as_counts(lake: Lake) -> None:
    table = pushes({"reason": "too_late"}, {"reason": "too_late"}, {"reason": "unknown_user"}, {"day": None})
    (answer,) = answers(push_writer(target(lake, "user_pushes"))((pa.scalar(-1),), table))
    assert answer == {"day": DAY, "entry": None, "n": 0, "rejects": {"too_late": 2, "unknown_user": 1}}
    table = pa.table({"reason": ["null_key", "null_key"]})
    key = (pa.scalar(date(2026, 11, 14)), pa.scalar(-1))
    (answer,) = answers(event_writer(target(lake, "user_days"))(key, table))
    assert (answer["entry"], answer["rejects"]) == (None, {"null_key": 2})
    assert list(lake.store.list("user_pushes")) == []

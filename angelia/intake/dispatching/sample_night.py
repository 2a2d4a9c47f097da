"""A night of N people who can be reached: for tests and benchmarks.

Writes `user_index`, `user_features`, `user_endpoints`, `catalog_snapshot`. Grain: person. Addresses are
`sandbox-…` and mean nothing to a provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from angelia.catalog.documents import canonical, parse_document
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.users.index import append_users

SHARD_BITS = 14
POLICY: dict[str, Any] = {
    "kind": "policy",
    "id": "default",
    "caps": [],
    "salt": "s",
    "holdout": {"share_pct": 0, "salt": "h"},
    "explore": {"slot_share_pct": 0, "epsilon": 0.1},
}
TEMPLATE: dict[str, Any] = {
    "kind": "template",
    "id": "plain",
    "channels": ["fcm"],
    "variables": {"item": {"default": "something"}},
    "variants": {"en": {"title": "About {{ item }}", "body": "Your {{ item }} is on its way."}},
}
MATERIAL: dict[str, Any] = {"kind": "material", "id": "plain", "template": "plain", "fields": {}}
AUDIENCE: dict[str, Any] = {"kind": "audience", "id": "everyone", "predicate": "reachable('fcm')"}
CHANNEL: dict[str, Any] = {
    "kind": "channel",
    "id": "fcm",
    "provider": "fcm_v1",
    "cost_per_message": 0.0,
    "capacity_per_hour": 10_000_000,
    "quota_per_minute": 6_000_000,
}
CAMPAIGN: dict[str, Any] = {
    "kind": "campaign",
    "name": "Sample",
    "topic": "promo",
    "owner": "growth",
    "audience": "everyone",
    "materials": ["plain"],
    "channels": ["fcm"],
    "value_per_open": 0.05,
    "occurrence": {"every": "daily"},
    "start_date": "2026-01-01",
    "end_date": "2099-12-31",
    "ttl_hours": 12,
}
SALE = {**CAMPAIGN, "id": "sale", "guarantee": "at_most_once"}
ORDER = {**CAMPAIGN, "id": "order", "guarantee": "at_least_once"}
DOCUMENTS = (POLICY, TEMPLATE, MATERIAL, AUDIENCE, CHANNEL, SALE, ORDER)


def user(number: int, first: int = 0) -> str:
    """Return the id of person number i."""
    return f"u{first + number:07d}"


def make(
    lake: Lake,
    people: int,
    ds: str,
    *,
    documents: Sequence[Mapping[str, Any]] = DOCUMENTS,
    features: Mapping[str, Sequence[Any]] | None = None,
    address: str = "sandbox-",
    first: int = 0,
) -> None:
    """Write a night of so many people.

    Args:
        features: columns of `user_features` that are other than: no opt-out, reached by fcm, English, UTC.
        address: what addresses begin with.
        first: number of the first person.
    """
    names = [user(number, first) for number in range(people)]
    given: dict[str, Sequence[Any]] = {
        "user_id": names,
        "locale": ["en"] * people,
        "timezone": ["UTC"] * people,
        "device_vendor": [None] * people,
        "channels": [["fcm"]] * people,
        "opted_out_topics": [[]] * people,
        "is_suppressed": [False] * people,
        **(features or {}),
    }
    table = valid_rows("user_features", people)
    for name, values in given.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    append_users(lake, pa.table({"user_id": names}), seen=None, shard_bits=SHARD_BITS)
    _put(lake, "user_features", ds, table, shards=(0, (people - 1) >> SHARD_BITS))
    endpoints = {
        "user_id": names,
        "channel": ["fcm"] * people,
        "address": [f"{address}{first + number:08d}-" + "x" * 60 for number in range(people)],
        "registered_ts": [datetime(2026, 1, 1, tzinfo=UTC)] * people,
        "is_active": [True] * people,
        **dict.fromkeys(("app_version", "permission"), [None] * people),
    }
    _put(lake, "user_endpoints", ds, pa.table(endpoints, schema=arrow.schema(dataset("user_endpoints"))))
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in documents
    ]
    schema = arrow.schema(dataset("catalog_snapshot"))
    _put(lake, "catalog_snapshot", ds, pa.Table.from_pylist(bodies, schema=schema))


def _put(lake: Lake, name: str, ds: str, table: pa.Table, shards: tuple[int, int] | None = None) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", shards=shards)
        attempt.publish()

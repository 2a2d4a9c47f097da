"""A night that is planned and not yet judged, for tests of the guard and what follows it."""

from datetime import UTC, datetime

import pyarrow as pa

from angelia.catalog.documents import canonical, parse_document
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import user_name, valid_rows

DS = "2026-11-14"

POLICY = {
    "kind": "policy",
    "id": "default",
    "caps": [],
    "salt": "s",
    "holdout": {"share_pct": 0, "salt": "h"},
    "explore": {"slot_share_pct": 0, "epsilon": 0.1},
}
TEMPLATE = {
    "kind": "template",
    "id": "plain",
    "channels": ["fcm"],
    "variables": {"item": {}, "province": {"source": "user.province"}},
    "variants": {"en": {"title": "{{ item }}", "body": "to {{ province }}"}},
    "link": "https://shop.example/{{ province }}",
}
SHOE = {
    "kind": "material",
    "id": "shoe",
    "template": "plain",
    "category": "shoes",
    "fields": {"item": "shoe"},
}
EVERYONE = {"kind": "audience", "id": "everyone", "predicate": "reachable('fcm')"}
CHANNEL = {
    "kind": "channel",
    "id": "fcm",
    "provider": "fcm_v1",
    "cost_per_message": 0.0,
    "capacity_per_hour": 100,
    "quota_per_minute": 100,
}
SALE = {
    "kind": "campaign",
    "id": "sale",
    "name": "Sale",
    "topic": "promo",
    "owner": "growth",
    "audience": "everyone",
    "materials": ["shoe"],
    "channels": ["fcm"],
    "priority": "medium",
    "guarantee": "at_most_once",
    "value_per_open": 0.05,
    "occurrence": {"every": "daily"},
    "start_date": "2026-11-01",
    "end_date": "2026-12-31",
    "holdout_pct": 0,
    "ttl_hours": 12,
}


def plan_a_night(lake, sale=SALE):
    """Publish a night of eight people and return the lake.

    Each of them gets the sale, and not the digest.
    """
    documents = (POLICY, TEMPLATE, SHOE, EVERYONE, CHANNEL, sale)
    bodies = [
        {"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))}
        for raw in documents
    ]
    put(
        lake,
        "catalog_snapshot",
        pa.Table.from_pylist(bodies, schema=arrow.schema(dataset("catalog_snapshot"))),
        meta={"stopped": []},
    )
    put(lake, "user_features", valid_rows("user_features", 8), meta={"n_users": 8})
    put(lake, "audience_members", valid_rows("audience_members", 8), meta={"sizes": {"everyone": 8}})
    choice = {
        "campaign_id": "sale", "message_id": "0" * 32, "occurrence": DS, "material_id": "shoe",
        "material_propensity": 1.0,
        "slot": datetime(2026, 11, 15, 9, tzinfo=UTC), "slot_propensity": None, "channel": "fcm",
        "outcome": "sent", "p_open": 0.08,
        "value_micros": 1, "price_micros": 0, "arm": None, "is_explore": False,
    }  # fmt: skip
    capped = choice | {"campaign_id": "digest", "outcome": "capped", "p_open": 0.9}
    chosen = [[choice | {"message_id": f"{i:032x}", "p_open": 0.01 * (i + 1)}, capped] for i in range(8)]
    decide(lake, chosen)
    return lake


def decide(lake, chosen):
    """Publish a plan: the choices of each person."""
    rows = [{"ordinal": i, "user_id": user_name(i), "choices": choices} for i, choices in enumerate(chosen)]
    table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("decisions")))
    put(lake, "decisions", table, meta={"start": "2026-11-15T04:00:00+00:00"})


def put(lake, name, table, **extra):
    with lake.attempt(name, ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish(**extra)

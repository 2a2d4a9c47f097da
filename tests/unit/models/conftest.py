"""A small lake: features as of a cutoff, a week of pushes and a catalog.

Opens depend on tag, gender and material.
"""

import json
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset, ids
from angelia.lake import Lake
from models.registry import Registry

DS, CUTOFF = "2026-11-14", "2026-11-07"
N = 1500
BODIES = [
    ("policy", "default", {
        "holdout": {"share_pct": 2.0, "salt": "h"}, "salt": "s",
        "explore": {"slot_share_pct": 5.0, "epsilon": 0.1},
    }),
    ("audience", "everyone", {"predicate": "gender IS NOT NULL"}),
    ("template", "plain", {"channels": ["fcm"], "variants": {"en": {"title": "t", "body": "b"}}}),
    ("material", "sale_camera", {"template": "plain", "category": "camera"}),
    ("material", "sale_shoes", {"template": "plain", "category": "shoes"}),
    ("campaign", "sale", {
        "name": "Sale", "topic": "promo", "owner": "growth", "audience": "everyone",
        "materials": ["sale_camera", "sale_shoes"], "channels": ["fcm"],
        "value_per_open": 0.05, "occurrence": {"every": "daily"}, "start_date": "2026-11-01",
        "end_date": "2026-12-31",
    }),
]  # fmt: skip


def table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=arrow.schema(dataset(name)))


def features(i: int) -> dict[str, object]:
    return {
        "ordinal": i, "user_id": f"u{i:05d}", "gender": ("f", "m")[i % 2], "age_years": 20 + i % 50,
        "country": "DE", "province": None,
        "locale": "de-DE",
        "timezone": "Europe/Berlin", "is_timezone_unknown": False, "device_vendor": "samsung",
        "membership_level": None,
        "tags": ["camera"] if i % 3 == 0 else (None if i % 3 == 1 else ["shoes", "food"]),
        "days_since_signup": i % 400, "n_events_1d": 0,
        "n_events_7d": i % 5, "n_events_28d": i % 9, "n_active_days_28d": i % 7, "n_purchases_28d": 0,
        "value_28d": 0.0, "days_since_event": i % 9,
        "days_since_purchase": None, "n_pushes_7d": 3, "n_pushes_28d": 9, "n_opens_28d": 1,
        "open_rate_28d": 0.1, "days_since_push": 1,
        "channels": ["fcm"], "opted_out_topics": [], "is_suppressed": False,
    }  # fmt: skip


def push(
    i: int, day: int, hour: int, material: str, kind: str, delay_h: float = 0.0, **over: object
) -> dict[str, object]:
    """Return a push of user i, `day` days after the midnight of 8 November.

    Day 0 is the first day after the cutoff.
    """
    sent = datetime(2026, 11, 8, hour, tzinfo=UTC) + timedelta(days=day)
    at = sent + timedelta(hours=delay_h)
    return {
        "ordinal": i, "message_id": ids.message_id("sale", f"u{i:05d}", f"{day}"), "campaign_id": "sale",
        "material_id": material, "channel": "fcm",
        "kind": kind, "at_ts": at, "sent_ts": sent, "slot_propensity": 1 / 24, "material_propensity": 0.5,
    } | over  # fmt: skip


def write_pushes(lake: Lake, rows: list[dict[str, object]]) -> None:
    """Write pushes to the partitions of the day they were sent or opened on."""
    by_day: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        by_day.setdefault(row["at_ts"].date().isoformat(), []).append(row)
    for ds, its_rows in by_day.items():
        with lake.attempt("user_pushes", ds=ds) as attempt:
            attempt.write(
                table(
                    "user_pushes",
                    sorted(its_rows, key=lambda row: (row["ordinal"], row["message_id"], row["kind"])),
                ),
                "part-0000.parquet",
            )
            attempt.publish()


def write_features_and_catalog(lake: Lake, n: int = N) -> None:
    with lake.attempt("user_features", ds=CUTOFF) as attempt:
        attempt.write(
            table("user_features", [features(i) for i in range(n)]), "part-0000.parquet", shards=(0, 0)
        )
        attempt.publish()
    write_catalog(lake)


def write_catalog(lake: Lake) -> None:
    bodies = [
        {"kind": kind, "id": name, "version": 1, "body": json.dumps({"kind": kind, "id": name} | body)}
        for kind, name, body in BODIES
    ]
    with lake.attempt("catalog_snapshot", ds=DS) as attempt:
        attempt.write(table("catalog_snapshot", bodies), "documents.parquet")
        attempt.publish()


@pytest.fixture
def registry(tmp_path) -> Registry:
    """Return an empty registry."""
    return Registry.open(tmp_path / "models of mine")


@pytest.fixture
def night() -> object:
    """Return this module: its makers of rows."""
    return sys.modules[__name__]


@pytest.fixture
def week(lake: Lake) -> Lake:
    """Return a lake in which people open what matches their tags (.5 against .1)."""
    rng = np.random.default_rng(3)
    write_features_and_catalog(lake)
    rows = []
    for day in range(7):
        for i in range(N):
            material = ("sale_camera", "sale_shoes")[int(rng.integers(0, 2))]
            hour = int(rng.integers(0, 24))
            rows.append(push(i, day, hour, material, "sent"))
            liked = material.removeprefix("sale_") in (features(i)["tags"] or [])
            if rng.random() < (0.5 if liked else 0.1):
                rows.append(push(i, day, hour, material, "opened", 1.5))
    write_pushes(lake, rows)
    return lake

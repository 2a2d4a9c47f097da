"""A small night in a lake: 600 users in three shards, with four weeks of days and pushes.

The datasets are as `aggregate_days` leaves them.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset, ids
from angelia.lake import Lake
from tests.user_index import append_people

DS = "2026-11-14"
N_USERS = 600
SHARD_BITS = 8
DAYS = 28


def day_of(number: int) -> date:
    """Return day `number` of the window: 0 is the first, 27 is DS."""
    return date.fromisoformat(DS) - timedelta(days=DAYS - 1 - number)


def midnight(number: int) -> datetime:
    return datetime.combine(day_of(number), datetime.min.time(), tzinfo=UTC)


def user(i: int) -> str:
    return f"u{i:05d}"


def table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    """Return rows as a table of a dataset; missing nullable columns are null."""
    return pa.Table.from_pylist(rows, schema=arrow.schema(dataset(name)))


def write(lake: Lake, name: str, rows: list[dict[str, object]], ds: str = DS) -> None:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(table(name, rows), "part-0000.parquet", conform=False)
        attempt.publish()


@pytest.fixture
def small_night(settings_home: Path, lake: Lake) -> Lake:
    """Return a lake with sources, index, days and pushes.

    Even users open in the morning, odd ones in the evening (UTC); user 5 is cold.
    """
    rng = np.random.default_rng(11)
    index = pa.table(
        {"user_id": [user(i) for i in range(N_USERS)], "ordinal": pa.array(range(N_USERS), pa.uint32())}
    )
    append_people(lake, [index], shard_bits=SHARD_BITS)
    profiles: list[dict[str, object]] = [
        {
            "user_id": user(i), "gender": "f" if i % 3 else "m", "birth_year": 1990, "country": "DE",
            "province": "berlin", "locale": "de-DE",
            "timezone": "UTC", "signup_ts": datetime(2026, 1, 1, tzinfo=UTC), "device_vendor": "samsung",
            "membership_level": 1, "tags": ["camera"],
        }
        for i in range(N_USERS - 1)
    ]  # fmt: skip
    profiles[1] |= {"gender": "?", "birth_year": 1777, "timezone": "Mars/Base", "country": "Germany"}
    profiles[2] |= {"timezone": None, "signup_ts": datetime(2030, 1, 1, tzinfo=UTC)}
    profiles.append(dict(profiles[3]) | {"signup_ts": datetime(2026, 2, 1, tzinfo=UTC), "gender": "x"})
    write(lake, "user_profiles", profiles)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    write(lake, "user_endpoints", [
        {"user_id": user(i), "channel": channel, "address": f"{channel}-{i}", "registered_ts": at,
        "is_active": not (i == 7 and channel == "sms")}
        for i in range(N_USERS) for channel in ("sms", "fcm")
    ])  # fmt: skip
    write(lake, "user_preferences", [
        {"user_id": user(8), "kind": "topic", "name": "promo", "is_opted_in": False, "updated_ts": at},
        {"user_id": user(8), "kind": "channel", "name": "sms", "is_opted_in": False, "updated_ts": at},
        {"user_id": user(9), "kind": "topic", "name": "promo", "is_opted_in": False, "updated_ts": at},
        {"user_id": user(9), "kind": "topic", "name": "promo", "is_opted_in": True,
        "updated_ts": at + timedelta(days=1)},
        {"user_id": user(10), "kind": "topic", "name": "promo", "is_opted_in": False,
        "updated_ts": datetime(2026, 11, 12, tzinfo=UTC)},
    ])  # fmt: skip
    lake.append_log("suppressions", table("suppressions", [
        {"entry_id": "e1", "user_id": user(11), "channel": None, "since_ts": at, "reason": "complaint"},
        {"entry_id": "e2", "user_id": user(12), "channel": "fcm", "since_ts": at, "reason": "gone"},
        {"entry_id": "e3", "user_id": user(13), "channel": None, "address_hash": "ab", "since_ts": at,
        "reason": "gone"},
        {"entry_id": "e4", "user_id": user(14), "channel": None,
        "since_ts": datetime(2026, 11, 20, tzinfo=UTC), "reason": "later"},
    ]))  # fmt: skip
    opened_next: list[dict[str, object]] = []
    for number in range(DAYS):
        days, pushes = [], opened_next
        opened_next = []
        for i in range(N_USERS):
            if i == 5:
                continue
            hour = (8 if i % 2 == 0 else 20) + int(rng.integers(-1, 2))
            if rng.random() < 0.5:
                days.append(
                    {
                        "ordinal": i,
                        "event_type": "view",
                        "item": "camera",
                        "n_events": 2,
                        "value_sum": 0.0,
                        "hours": 1 << hour,
                    }
                )
            if i == 6 and number == 20:
                days.append(
                    {
                        "ordinal": i,
                        "event_type": "purchase",
                        "item": None,
                        "n_events": 3,
                        "value_sum": 30.0,
                        "hours": 1 << 4,
                    }
                )
            sent_hour = int(rng.integers(0, 24))
            sent = midnight(number) + timedelta(hours=sent_hour, minutes=10)
            push = {
                "ordinal": i, "message_id": ids.message_id("price_drop", user(i), day_of(number).isoformat()),
                "campaign_id": "price_drop",
                "material_id": "price_drop_camera", "channel": "fcm", "kind": "sent", "at_ts": sent,
                "sent_ts": sent, "slot_propensity": 1 / 24,
                "material_propensity": 0.5,
            }  # fmt: skip
            pushes.append(push)
            if rng.random() < (0.6 if abs(sent_hour - hour) <= 3 else 0.05):
                opened = sent + timedelta(hours=2)
                row = push | {"kind": "opened", "at_ts": opened}
                (pushes if opened < midnight(number) + timedelta(days=1) else opened_next).append(row)
        write(lake, "user_days", sorted(days, key=lambda row: row["ordinal"]), day_of(number).isoformat())
        write(
            lake,
            "user_pushes",
            sorted(pushes, key=lambda row: (row["ordinal"], row["message_id"], row["kind"])),
            day_of(number).isoformat(),
        )
    return lake

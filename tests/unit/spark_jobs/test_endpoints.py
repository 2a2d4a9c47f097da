"""Addresses called gone: not used by the next night, unless registered again since."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from angelia.contracts import arrow, dataset
from angelia.users.suppressions import address_hash, address_key
from spark_jobs._endpoints import gone_by, living

DS = "2026-11-14"
AT = datetime(2026, 11, 10, 12, tzinfo=UTC)


def entry(lake, n: int, user: str, channel: str | None, address: str | None, since: datetime) -> dict[str, object]:
    hashed = address_hash(address_key(lake.store), "fcm", address) if address else None
    return {"entry_id": f"e{n}", "user_id": user, "channel": channel, "address_hash": hashed, "since_ts": since, "reason": "gone"}


def test_gone_addresses_are_left_out_by_the_timestamp_rule(spark, settings_home, lake) -> None:
    hour = timedelta(hours=1)
    entries = [
        entry(lake, 1, "u1", "fcm", "a", AT),
        entry(lake, 2, "u2", "fcm", "a", AT),  # registered again an hour later
        entry(lake, 3, "u3", "fcm", "other", AT),  # another address of theirs
        entry(lake, 4, "u4", "fcm", None, AT),  # the channel, not an address: not decided here
        entry(lake, 5, "u5", "fcm", "a", datetime(2026, 11, 15, tzinfo=UTC)),  # after ds: the replay of that night did not know
        entry(lake, 6, "u6", "fcm", "a", AT - 2 * hour),
        entry(lake, 7, "u6", "fcm", "a", AT + 2 * hour),  # said again after the registration
        entry(lake, 8, "u7", None, "a", AT),
    ]
    lake.append_log("suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions"))))
    assert gone_by(lake, DS).num_rows == 6
    rows = [(f"u{n}", "fcm", "a", AT + hour if n == 2 else AT, True) for n in range(1, 9)] + [
        ("u1", "sms", "a", AT, True),
        ("u1", "fcm", "b", AT, True),
    ]
    schema = "user_id string, channel string, address string, registered_ts timestamp, is_active boolean"
    left = living(spark, lake, spark.createDataFrame(rows, schema), DS).collect()
    kept = {
        ("u2", "fcm", "a"),
        ("u3", "fcm", "a"),
        ("u4", "fcm", "a"),
        ("u5", "fcm", "a"),
        ("u8", "fcm", "a"),
        ("u1", "sms", "a"),
        ("u1", "fcm", "b"),
    }
    assert {(row.user_id, row.channel, row.address) for row in left} == kept

"""Which device of several: the newest, the one that shows its messages, or all of them."""

from datetime import UTC, datetime, timedelta

from angelia.contracts.ids import dispatch_id
from angelia.delivery.worker.fallover import OpenAddresses
from angelia.intake.dispatching import sample_night
from angelia.intake.dispatching.people import BatchSources, NightPeople
from spark_jobs.shard_work.devices import (
    addresses,
    all_addresses,
    best_addresses,
    by_way,
    receipts_param,
    recent_receipts,
    ways_of,
)
from tests.unit.spark_jobs.conftest import table

DS = "2026-11-14"
AT = datetime(2026, 11, 1, tzinfo=UTC)
SCHEMA = (
    "user_id string, channel string, address string, registered_ts timestamp, is_active boolean, "
    "permission string"
)


def phones(spark, *rows):
    """Return endpoints: (person, channel, address, day of its registration)."""
    every = [
        (user, channel, address, AT + timedelta(days=day), True, None) for user, channel, address, day in rows
    ]
    return spark.createDataFrame(every, SCHEMA)


def receipt(kind, address, n=0, user="u1", days_ago=1.0, reason=None):
    at = datetime(2026, 11, 15, tzinfo=UTC) - timedelta(days=days_ago)
    return {
        "receipt_id": f"{kind}-{address}-{n}", "dispatch_id": dispatch_id(f"m{n}", "fcm", address),
        "message_id": f"m{n}", "user_id": user, "campaign_id": "sale", "material_id": "paper",
        "channel": "fcm", "kind": kind, "receipt_ts": at, "sent_ts": at, "reason": reason,
    }  # fmt: skip


def best(spark, lake, endpoints, receipts):
    """Return the best address of each person by these receipts, as they come from the lake."""
    with lake.attempt("push_receipts", ds=DS, source="worker", part="x") as attempt:
        attempt.write(table("push_receipts", receipts), "part-0000.parquet", conform=False)
        attempt.publish()
    known, commits = recent_receipts(spark, lake, DS)
    assert len(receipts_param(commits)["receipts"]) == 64
    return {row.user_id: row.address for row in best_addresses(endpoints, known, ds=DS).collect()}


def test_all_are_the_newest_ten_each_once(spark):
    rows = [("u1", "fcm", f"t{day:02d}", day) for day in range(12)]
    rows += [("u1", "email", "Ann@Shop.example", 1), ("u1", "email", "ann@shop.example", 2)]
    endpoints = phones(spark, *rows)
    closed = [
        ("u1", "fcm", "off", AT + timedelta(days=20), False, None),
        ("u1", "fcm", "denied", AT + timedelta(days=20), True, "denied"),
    ]
    endpoints = endpoints.unionByName(spark.createDataFrame(closed, SCHEMA))
    chosen = sorted((row.channel, row.address) for row in all_addresses(endpoints).collect())
    assert chosen == [("email", "ann@shop.example"), *(("fcm", f"t{day:02d}") for day in range(2, 12))]
    assert sorted(row.address for row in addresses(endpoints).collect()) == ["ann@shop.example", "t11"]


def test_best_is_the_device_that_shows_its_messages(spark, settings_home, lake):
    endpoints = phones(
        spark,
        ("u1", "fcm", "drawer", 9), ("u1", "fcm", "pocket", 1),  # opens beat what is only accepted
        ("u2", "fcm", "u2-old", 1), ("u2", "fcm", "u2-new", 2),  # nothing is known: the newest
        ("u3", "fcm", "u3-old", 1), ("u3", "fcm", "u3-new", 2),  # never shown: the new one is tried
        ("u4", "fcm", "u4-old", 1), ("u4", "fcm", "u4-new", 2),  # a scanner's open is none
        ("u5", "fcm", "u5-then", 1), ("u5", "fcm", "u5-now", 0),  # what was long ago counts less
    )  # fmt: skip
    rows = [receipt(kind, "pocket", 1) for kind in ("accepted", "opened")]
    rows += [receipt("accepted", "drawer", n) for n in range(2, 6)]
    rows += [receipt("accepted", "u3-old", n, "u3") for n in range(4)]
    rows += [receipt("accepted", "u4-old", n, "u4") for n in range(3)]
    rows += [receipt("opened", "u4-old", n, "u4", reason="machine") for n in range(3)]
    rows += [receipt("opened", "u5-then", 1, "u5", 13.0), receipt("opened", "u5-now", 2, "u5")]
    chosen = best(spark, lake, endpoints, rows)
    assert chosen == {"u1": "pocket", "u2": "u2-new", "u3": "u3-new", "u4": "u4-new", "u5": "u5-now"}


def test_receipts_of_another_address_count_for_none(spark, settings_home, lake):
    endpoints = phones(spark, ("u1", "fcm", "old", 1), ("u1", "fcm", "new", 2), ("u1", "apns", "old", 1))
    rows = [receipt("opened", "sold", 1), {**receipt("opened", "old", 2), "dispatch_id": "0" * 32}]
    assert best(spark, lake, endpoints.where("channel = 'fcm'"), rows) == {"u1": "new"}


def test_night_fallover_and_intake_choose_one_device(spark, settings_home, lake):
    user = sample_night.user(0)
    sample_night.make(lake, 1, DS)
    # Eleven of one instant and an older one: their addresses say which is the newest, and which ten are.
    tied = [f"t{number:02d}" for number in range(11)]
    rows = [(user, "fcm", "u-older", 1), *((user, "fcm", address, 2) for address in tied)]
    endpoints = phones(spark, *rows)
    columns = [row.asDict() for row in endpoints.collect()]
    with lake.attempt("user_endpoints", ds=DS) as attempt:
        attempt.write(table("user_endpoints", columns), "part-0000.parquet", conform=False)
        attempt.publish()
    by_night = [row.address for row in addresses(endpoints).collect()]
    by_night += best(spark, lake, endpoints, [receipt("opened", "sold", 1, user)]).values()
    sources = BatchSources.newest(lake)
    reach = OpenAddresses(lake, sources.features, sources.endpoints, sample_night.SHARD_BITS)
    by_fallover = reach.devices({user: ["fcm"]})[user, "fcm"]
    people = NightPeople(lake, sources)
    by_intake = people.addresses(people.of([user]))[user, "fcm"]
    assert by_night == [by_fallover[0], by_intake[0]] == ["t10", "t10"]
    of_all = {row.address for row in all_addresses(endpoints).collect()}
    assert of_all == set(by_fallover) == set(by_intake) == set(tied[1:])


def test_a_campaign_has_its_own_way(spark):
    ways = ways_of({"a": None, "b": "all", "c": "best", "d": "newest", "e": "all"}, {"a", "b", "c", "d"})
    assert ways == {"b": "all", "c": "best"}
    endpoints = phones(spark, ("u1", "fcm", "old", 1), ("u1", "fcm", "new", 2))
    rows = by_way(endpoints, set(ways.values()), None, ds=DS).collect()
    assert sorted((row.way, row.address) for row in rows) == [
        ("all", "new"), ("all", "old"), ("best", "new"), ("newest", "new"),
    ]  # fmt: skip
    assert {row.way for row in by_way(endpoints, {"best"}, None, ds=DS).collect()} == {"best", "newest"}

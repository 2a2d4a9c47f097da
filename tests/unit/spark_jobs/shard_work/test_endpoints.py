"""Addresses called gone: not used by the next night, unless registered again since."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.users.registered import amended, last_words, register
from angelia.users.suppressions import address_hash, address_key
from spark_jobs.shard_work.endpoints import gone_by, living, owned, read_endpoints

DS = "2026-11-14"
AT = datetime(2026, 11, 10, 12, tzinfo=UTC)


def entry(
    lake, n: int, user: str, channel: str | None, address: str | None, since: datetime
) -> dict[str, object]:
    hashed = address_hash(address_key(lake.store), "fcm", address) if address else None
    return {
        "entry_id": f"e{n}",
        "user_id": user,
        "channel": channel,
        "address_hash": hashed,
        "since_ts": since,
        "reason": "gone",
    }


def test_gone_addresses_are_left_out_by_the_timestamp_rule(spark, settings_home, lake) -> None:
    hour = timedelta(hours=1)
    entries = [
        entry(lake, 1, "u1", "fcm", "a", AT),
        entry(lake, 2, "u2", "fcm", "a", AT),  # registered again an hour later
        entry(lake, 3, "u3", "fcm", "other", AT),  # another address of theirs
        entry(lake, 4, "u4", "fcm", None, AT),  # the channel, not an address: not decided here
        entry(
            lake, 5, "u5", "fcm", "a", datetime(2026, 11, 15, tzinfo=UTC)
        ),  # after ds: the replay of that night did not know
        entry(lake, 6, "u6", "fcm", "a", AT - 2 * hour),
        entry(lake, 7, "u6", "fcm", "a", AT + 2 * hour),  # said again after the registration
        entry(lake, 8, "u7", None, "a", AT),
    ]
    lake.append_log(
        "suppressions", pa.Table.from_pylist(entries, schema=arrow.schema(dataset("suppressions")))
    )
    assert gone_by(spark, lake, DS).count() == 5  # two of u6's are one
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


def test_an_address_belongs_to_its_newest_owner_only(spark) -> None:
    later, schema = (
        AT + timedelta(days=11),
        "user_id string, channel string, address string, registered_ts timestamp, is_active boolean",
    )
    rows = [
        ("u1", "fcm", "t", AT, True),
        ("u2", "fcm", "t", later, True),
        ("u3", "email", " Ann@Shop.example", AT, True),
        ("u4", "email", "ann@shop.example ", later, True),
        ("u5", "sms", "+49 (170) 12-34", AT, True),
        ("u6", "sms", "+491701234", AT, True),  # the same instant: the larger id
        ("u7", "fcm", "T", AT, True),  # of a token every character counts
        ("u8", "apns", "t", AT, True),  # another channel
        ("u9", "fcm", "z", AT, True),
        ("u9", "fcm", "z", later, True),  # twice the same person
        ("v1", "fcm", "y", AT, True),
        ("v2", "fcm", "y", later, False),  # no longer active: takes nothing away
    ]
    kept, others = owned(spark.createDataFrame(rows, schema))
    assert {(row.user_id, row.channel) for row in others.collect()} == {
        ("u1", "fcm"),
        ("u3", "email"),
        ("u5", "sms"),
    }
    assert sorted(row.user_id for row in kept.collect()) == [
        "u2",
        "u4",
        "u6",
        "u7",
        "u8",
        "u9",
        "u9",
        "v1",
        "v2",
    ]
    assert owned(kept)[1] is None


def test_two_spellings_of_a_host_are_one_address(spark, settings_home, lake) -> None:
    later = AT + timedelta(days=1)
    rows = [
        ("u1", "email", "Jo@B\u00fccher.example", AT, True),
        ("u2", "email", "jo@XN--bcher-kva.example", later, True),
        ("u3", "webhook", "https://b\u00fccher.example/Hook", AT, True),
        ("u4", "webhook", "https://xn--bcher-kva.example/Hook", later, True),
        ("u5", "webhook", "https://xn--bcher-kva.example/hook", AT, True),  # of a path every character counts
        ("u7", "email_two", "Ann@mail.example", AT, True),
        ("u8", "email_two", "ann@mail.example", later, True),
        ("u9", "sms_eu", "+49 170 1234", AT, True),
        ("u10", "sms_eu", "+491701234", later, True),
        ("u6", "email", "b\u00fccher", AT, True),  # no address: kept as it is
    ]
    names = ["user_id", "channel", "address", "registered_ts", "is_active"]
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    with lake.attempt("user_endpoints", ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False)
        commit = attempt.publish()
    endpoints = read_endpoints(spark, lake, commit, DS)
    kept, _ = owned(endpoints)
    assert sorted(row.user_id for row in kept.collect()) == ["u10", "u2", "u4", "u5", "u6", "u8"]
    assert {row.address for row in kept.collect() if row.user_id == "u6"} == {"b\u00fccher"}
    gone = entry(lake, 1, "u2", "email", None, later)
    gone["address_hash"] = address_hash(address_key(lake.store), "email", "JO@b\u00fccher.example")
    log = pa.Table.from_pylist([gone], schema=arrow.schema(dataset("suppressions")))
    lake.append_log("suppressions", log)
    assert "u2" not in {row.user_id for row in living(spark, lake, endpoints, DS).collect()}


@pytest.mark.parametrize("few", [0, 1_000], ids=["by exchange", "to every executor"])
def test_of_snapshot_and_word_the_later_one_holds(few, spark, lake, monkeypatch):
    monkeypatch.setattr("spark_jobs.shard_work.endpoints.FEW", few)
    names = ["user_id", "channel", "address", "registered_ts", "is_active"]
    rows = [
        ("u1", "sms", "+491", AT, True),  # ended by a word
        ("u2", "sms", "+492", AT + timedelta(hours=2), True),  # the source's word is the later one
        ("u3", "sms", "+493", AT + timedelta(hours=2), False),
        ("u4", None, None, AT, True),
        ("u5", "email", "a@b\u00fccher.example", AT, True),
    ]
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    with lake.attempt("user_endpoints", ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False)
        commit = attempt.publish()
    later = AT + timedelta(hours=1)
    words = [
        ("u1", "sms", "+491", later, False),
        ("u2", "sms", "+492", later, False),
        ("u3", "sms", "+493", later, True),
        ("u5", "email", "a@xn--bcher-kva.example", later, False),
        ("u6", "email", "new@mail.example", later, True),
        ("u6", "email", "old@mail.example", later, True),
        ("u6", "email", "old@mail.example", later + timedelta(minutes=1), False),
        ("u7", "sms", "+497", AT + timedelta(days=9), True),  # after the night
        ("u8", "sms", "+498", later, False),  # at one instant: the word that ends it
        ("u8", "sms", "+498", later, True),
    ]
    register(lake, [dict(zip(names, word, strict=True)) for word in words])
    with monkeypatch.context() as driver:
        driver.setattr("angelia.lake.Lake.read_log", None)  # rows of people are for executors
        kept = read_endpoints(spark, lake, commit, DS).where("is_active").collect()
    expected = [("u2", "+492"), ("u4", None), ("u6", "new@mail.example")]
    assert sorted((row.user_id, row.address) for row in kept) == expected
    assert kept[0].registered_ts is not None
    # The columns' engine says the same.
    there = amended(table, last_words(lake, until=AT + timedelta(days=2)))
    there = there.filter(there["is_active"])
    assert sorted(zip(*(there[name].to_pylist() for name in ("user_id", "address")), strict=True)) == expected

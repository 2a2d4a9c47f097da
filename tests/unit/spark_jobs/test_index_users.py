"""index_users: which ids get an ordinal, in which order, and that a second day only appends."""

import pyarrow as pa

from angelia.contracts import arrow, dataset
from spark_jobs import index_users

DS, NEXT = "2026-11-14", "2026-11-15"


def write_profiles(lake, ds, rows) -> None:
    names = ("user_id", "country", "province", "timezone")
    loose = pa.schema([field.with_nullable(True) for field in arrow.schema(dataset("user_profiles"))])
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=loose)
    with lake.attempt("user_profiles", ds=ds) as attempt:
        attempt.write(table, "part-0000.parquet", conform=False)
        attempt.publish()


def index_of(lake) -> dict[str, int]:
    rows = lake.read(lake.require("user_index", chain="0"))
    return dict(zip(rows["user_id"].to_pylist(), rows["ordinal"].to_pylist(), strict=True))


def test_first_load_is_clustered_and_later_users_are_appended(spark, settings_home, lake) -> None:
    write_profiles(lake, DS, [
        ("u3", "US", "texas", "America/Chicago"), ("u2", "CN", "guangdong", "Asia/Shanghai"), ("u1", "CN", "guangdong", "Asia/Shanghai"),
        ("u0", "CN", "fujian", "Asia/Shanghai"), ("u9", None, None, None), ("u2", "US", "texas", "America/Chicago"),
        (None, "US", None, None), ("bad id", "US", None, None), ("late\n", "US", None, None),
    ])  # fmt: skip
    index_users.main(["--ds", DS])
    first = lake.require("user_index", chain="0")
    assert index_of(lake) == {"u9": 0, "u0": 1, "u1": 2, "u2": 3, "u3": 4}
    assert dict(first.rejects) == {"invalid_user_id": 3, "duplicate_user_id": 1}
    assert (first.meta["n_users"], first.meta["shard_bits"]) == (5, 14)

    index_users.main(["--ds", DS])  # again: nothing to append
    assert lake.require("user_index", chain="0").ref == first.ref

    write_profiles(lake, NEXT, [("u0", "XX", "moved", "UTC"), ("a0", "AA", "new", "UTC")])
    index_users.main(["--ds", NEXT, "--branch", "replay-1"])  # a replay goes on with main's index
    assert lake.require("user_index", chain="0").ref == first.ref
    index_users.main(["--ds", NEXT])
    assert index_of(lake) == {"u9": 0, "u0": 1, "u1": 2, "u2": 3, "u3": 4, "a0": 5}

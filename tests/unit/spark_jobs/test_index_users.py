"""index_users: which ids get an ordinal, in which order; a second day only appends."""

import subprocess
import sys

import pyarrow as pa
import pytest

from angelia.contracts import arrow, dataset
from angelia.errors import InvalidInput, NotFound
from angelia.users.index import append_users, index_head, require_index
from spark_jobs import aggregate_days, index_users

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
        ("u3", "US", "texas", "America/Chicago"), ("u2", "CN", "guangdong", "Asia/Shanghai"),
        ("u1", "CN", "guangdong", "Asia/Shanghai"),
        ("u0", "CN", "fujian", "Asia/Shanghai"), ("u9", None, None, None),
        ("u2", "US", "texas", "America/Chicago"),
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


def test_files_and_pieces_follow_each_other(spark, settings_home, lake, monkeypatch) -> None:
    """A file ends where its last ordinal does, and not where a sorted piece of people does."""
    monkeypatch.setattr(index_users, "file_bits", lambda shard_bits: 3)
    coalesce = "spark.sql.adaptive.coalescePartitions.enabled"
    spark.conf.set(coalesce, "false")
    try:
        for ds, first in ((DS, 0), (NEXT, 100)):
            write_profiles(lake, ds, [(f"u{i:03d}", "DE", None, None) for i in range(first + 29, first, -1)])
            index_users.main(["--ds", ds])
    finally:
        spark.conf.unset(coalesce)
    names = [*(f"u{i:03d}" for i in range(1, 30)), *(f"u{i:03d}" for i in range(101, 130))]
    assert index_of(lake) == {name: ordinal for ordinal, name in enumerate(names)}
    head = lake.require("user_index", chain="0")
    assert [int(entry.name[5:15]) for entry in head.files] == [0, 8, 16, 24, 29, 32, 40, 48, 56]


APPEND = """
import sys
import pyarrow as pa
from angelia.users.index import append_users, index_head
from angelia.lake import Lake
lake = Lake.open(sys.argv[1])
append_users(lake, pa.table({"user_id": sys.argv[2:]}), seen=index_head(lake), shard_bits=14)
"""


def test_a_job_that_is_overtaken_numbers_the_rest(spark, settings_home, lake, monkeypatch) -> None:
    write_profiles(lake, DS, [("u1", "DE", None, None), ("u2", "DE", None, None)])
    index_users.main(["--ds", DS])
    write_profiles(lake, NEXT, [(name, "DE", None, None) for name in ("u1", "a0", "a1", "a2")])
    append = index_users.append_written

    def overtaken(*args, **kwargs):
        subprocess.run([sys.executable, "-c", APPEND, str(settings_home / "lake"), "a1", "b0"], check=True)
        return append(*args, **kwargs)

    monkeypatch.setattr(index_users, "append_written", overtaken)
    index_users.main(["--ds", NEXT])
    assert index_of(lake) == {"u1": 0, "u2": 1, "a1": 2, "b0": 3, "a0": 4, "a2": 5}


def test_profiles_that_name_nobody_make_no_index(spark, settings_home, lake) -> None:
    write_profiles(lake, DS, [(None, "US", None, None), ("bad id", "US", None, None)])
    with pytest.raises(InvalidInput, match=r"holds nobody to index .*invalid_user_id.: 2") as refused:
        index_users.main(["--ds", DS])
    assert "import the profiles of 2026-11-14 again" in refused.value.one_line()
    assert index_head(lake) is None


def test_an_index_of_nobody_stops_jobs_in_one_line(spark, settings_home, lake) -> None:
    """Such an index may stand in a lake from before; the next people are appended to it."""
    empty = pa.table({"user_id": pa.array([], pa.string())})
    append_users(lake, empty, seen=None, shard_bits=14)
    with pytest.raises(NotFound, match=r"user_index/chain=0@1 holds nobody"):
        aggregate_days.main(["--ds", DS])
    write_profiles(lake, DS, [("u1", "CN", "guangdong", "Asia/Shanghai")])
    index_users.main(["--ds", DS])
    assert index_of(lake) == {"u1": 0}
    assert require_index(lake).meta["n_users"] == 1

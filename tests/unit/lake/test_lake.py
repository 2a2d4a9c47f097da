"""Write and publish; who reads what; branches and logs. On both stores."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.contracts import CONTRACTS
from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt, InvalidInput, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.store import LocalStore, Store

DS = "2026-11-14"


def scores(*ordinals: int) -> pa.Table:
    n = len(ordinals)
    return pa.table(
        {
            "ordinal": pa.array(ordinals, pa.uint32()),
            "campaign_id": ["price_drop"] * n,
            "material_id": ["camera"] * n,
            "p_open": [0.25] * n,
            "lift": [None] * n,
        }
    )


def publish(lake: Lake, table: pa.Table | None = None, ds: str = DS, **how: Any) -> Commit:
    with lake.attempt("material_scores", ds=ds) as attempt:
        attempt.write(scores(1, 2) if table is None else table, "part-0000.parquet", shards=(0, 0))
        return attempt.publish(**how)


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_dataset_comes_back_as_it_was_written(lake: Lake, name: str) -> None:
    rows = valid_rows(name, 40)
    leaf = {key: DS if key == "ds" else "0" for key in CONTRACTS[name].partition}
    with lake.attempt(name, **leaf) as attempt:
        attempt.write(rows, "part-0000.parquet")
        made = attempt.publish()
    standing = lake.require(name, **dict(reversed(leaf.items())))
    assert standing == made
    assert (standing.ref, standing.sha256) == (made.ref, made.sha256)
    assert lake.read(standing).equals(rows)
    assert lake.cited(made.citation()) == made


def test_readers_see_nothing_before_publish_and_everything_after(any_lake: Lake) -> None:
    with any_lake.attempt("material_scores", ds=DS) as attempt:
        attempt.write(scores(1), "part-0000.parquet")
        assert any_lake.head("material_scores", ds=DS) is None
        assert any_lake.partitions("material_scores") == []
        made = attempt.publish(
            inputs=["user_events/ds=2026-11-14@1"],
            params={"a": (1, 2), 3: "x"},
            meta={"gap": 0.1},
            rejects={"dirty": 4},
        )
    standing = any_lake.require("material_scores", ds=DS)
    assert standing == made
    assert (standing.number, standing.rows, standing.rejects, standing.params) == (
        1,
        1,
        {"dirty": 4},
        {"a": [1, 2], "3": "x"},
    )
    assert any_lake.partitions("material_scores") == [{"ds": DS}]
    with pytest.raises(NotFound, match="no commit for ds=2026-11-13") as caught:
        any_lake.require("material_scores", ds="2026-11-13")
    assert "score_materials" in caught.value.one_line()


def test_an_attempt_that_fails_leaves_nothing(any_lake: Lake) -> None:
    def fail() -> None:
        with any_lake.attempt("material_scores", ds=DS) as attempt:
            attempt.write(scores(1), "part-0000.parquet")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(any_lake.store.list("")) == []


def test_a_rerun_keeps_old_commits_readable(any_lake: Lake) -> None:
    first, second = publish(any_lake), publish(any_lake)
    assert (first.number, second.number) == (1, 2)
    assert first.sha256 == second.sha256
    third = publish(any_lake, scores(9))
    assert any_lake.require("material_scores", ds=DS) == third
    assert any_lake.read(any_lake.as_of("material_scores", 1, ds=DS))["ordinal"].to_pylist() == [1, 2]
    assert [commit.number for commit in any_lake.history("material_scores", ds=DS)] == [1, 2, 3]
    with pytest.raises(NotFound, match="no commit 9"):
        any_lake.as_of("material_scores", 9, ds=DS)


# ---- reading


def damage(store: Store, path: str, how: str) -> None:
    data = bytearray(store.read(path))
    if how == "gone":
        store.delete(path)
    elif how == "truncated":
        store.put(path, bytes(data[:-10]))
    else:
        data[len(data) // 4] ^= 1
        store.put(path, bytes(data))


@pytest.mark.parametrize("how", ["gone", "truncated", "flipped"])
def test_damage_is_seen_by_check_read_and_local_copy(any_lake: Lake, how: str) -> None:
    commit = publish(any_lake, scores(*range(2000)))
    any_lake.check_bytes(commit.files[0])
    damage(any_lake.store, commit.files[0].path, how)
    with pytest.raises(Corrupt, match=r"missing|bytes"):
        any_lake.check_bytes(commit.files[0])
    with pytest.raises(Corrupt):
        any_lake.read(commit)
    if not isinstance(any_lake.store, LocalStore):
        with pytest.raises(Corrupt):
            any_lake.paths(commit)


def test_read_takes_columns_and_files(any_lake: Lake) -> None:
    with any_lake.attempt("material_scores", ds=DS) as attempt:
        for shard in (1, 0):
            attempt.write(scores(shard * 10), f"part-{shard:04d}.parquet", shards=(shard, shard))
        commit = attempt.publish()
    assert any_lake.read(commit, ["ordinal"]).to_pydict() == {"ordinal": [0, 10]}
    assert any_lake.read(commit, ["ordinal"], where=lambda entry: entry.shards == (1, 1)).to_pydict() == {
        "ordinal": [10]
    }
    assert any_lake.read(commit, ["p_open"], where=lambda _: False).schema.names == ["p_open"]
    with pytest.raises(InvalidInput, match="has no column colour"):
        any_lake.read(commit, ["colour"])


def test_duckdb_reads_paths_on_every_store(any_lake: Lake, tmp_path: Path) -> None:
    commit = publish(any_lake)
    for _ in range(2):  # the second time from the cache
        paths = any_lake.paths(commit)
        assert all(Path(path).is_relative_to(tmp_path) for path in paths)
        rows = duckdb.sql(
            "SELECT * FROM read_parquet($paths, hive_partitioning = false)", params={"paths": paths}
        ).fetchall()
        assert rows == [(1, "price_drop", "camera", 0.25, None), (2, "price_drop", "camera", 0.25, None)]
    assert any_lake.paths(commit, where=lambda _: False) == []


def test_a_damaged_local_copy_is_fetched_again(s3_store: Store) -> None:
    lake = Lake(s3_store)
    commit = publish(lake)
    copy = Path(lake.paths(commit)[0])
    copy.write_bytes(b"short")
    assert pq.read_metadata(lake.paths(commit)[0]).num_rows == 2


def test_local_copies_are_bounded(s3_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(s3_store)
    monkeypatch.setenv("ANGELIA_CACHE_GIB", "0")
    old = Path(lake.paths(publish(lake, scores(1)))[0])
    fresh = Path(lake.paths(publish(lake, scores(2)))[0])
    assert old.exists()  # used within the hour
    os.utime(old, (0, 0))
    lake.paths(publish(lake, scores(3)))
    assert not old.exists()
    assert fresh.exists()
    monkeypatch.setenv("ANGELIA_CACHE_GIB", "many")
    with pytest.raises(InvalidInput, match="ANGELIA_CACHE_GIB"):
        lake.paths(publish(lake, scores(4)))


def test_cited_finds_the_commit_and_notices_another_content(any_lake: Lake) -> None:
    commit = publish(any_lake)
    assert any_lake.cited(commit.citation()) == commit
    assert any_lake.cited("material_scores/ds=2026-11-14@1") == commit
    with pytest.raises(Corrupt, match="not the commit that was cited"):
        any_lake.cited(f"{commit.ref}#{'0' * 16}")
    with pytest.raises(NotFound):
        any_lake.cited("material_scores/ds=2026-11-14@2")
    for text in (
        "nonsense",
        "material_scores@1",
        "material_scores/ds@1",
        "../x/ds=1@1",
        "material_scores/ds=..@1",
        "x:material_scores/ds=2026-11-14@1/..",
    ):
        with pytest.raises((InvalidInput, NotFound)):
            any_lake.cited(text)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"not json", b"\xff\xfe", b'{"files": 3}'])
def test_a_commit_file_that_cannot_be_understood_is_corrupt(any_lake: Lake, text: bytes) -> None:
    any_lake.store.create("main/material_scores/ds=2026-11-14/_commits/00000001.json", text)
    with pytest.raises(Corrupt, match="not a commit file"):
        any_lake.head("material_scores", ds=DS)


def test_a_commit_file_in_the_wrong_place_is_corrupt(any_lake: Lake) -> None:
    commit = publish(any_lake)
    any_lake.store.create("main/material_scores/ds=2026-11-15/_commits/00000001.json", commit.to_bytes())
    with pytest.raises(Corrupt, match="speaks of material_scores/ds=2026-11-14@1"):
        any_lake.head("material_scores", ds="2026-11-15")


def test_partitions_are_sorted_filtered_and_nothing_else(any_lake: Lake) -> None:
    for ds, source, part in [
        ("2026-11-14", "worker", "1"),
        ("2026-11-13", "worker", "0"),
        ("2026-11-14", "import", "0"),
    ]:
        with any_lake.attempt("push_receipts", ds=ds, source=source, part=part) as attempt:
            attempt.publish()
    any_lake.store.put("main/push_receipts/ds=today/source=x/part=0/_commits/00000001.json", b"{}")
    any_lake.store.put("main/push_receipts/README", b"")
    any_lake.store.put("main/push_receipts/ds=2026-11-12/source=x/part=0/attempt-1/x.parquet", b"")
    leaves = any_lake.partitions("push_receipts")
    assert [tuple(leaf.values()) for leaf in leaves] == [
        ("2026-11-13", "worker", "0"),
        ("2026-11-14", "import", "0"),
        ("2026-11-14", "worker", "1"),
    ]
    assert any_lake.partitions("push_receipts", ds="2026-11-14", source="worker") == [leaves[2]]
    with pytest.raises(InvalidInput, match="partitioned by ds, source, part"):
        any_lake.partitions("push_receipts", source="worker")


@pytest.mark.parametrize(
    "value", ["../../etc", "2026-11-14/..", "", "a b", "2026-13-01", "20261114", "today", "x" * 200, "a\nb"]
)
def test_partition_values_are_checked(any_lake: Lake, value: str) -> None:
    for ask in (any_lake.head, any_lake.attempt, any_lake.history):
        with pytest.raises(InvalidInput, match="cannot be a partition value"):
            ask("material_scores", ds=value)


def test_partition_keys_and_names_are_checked(any_lake: Lake) -> None:
    with pytest.raises(InvalidInput, match="partitioned by ds, not by day"):
        any_lake.head("material_scores", day=DS)
    with pytest.raises(NotFound, match="no dataset 'material_score'") as caught:
        any_lake.head("material_score", ds=DS)
    assert "material_scores" in caught.value.one_line()
    for branch in ("replay", "replay-", "dev", "main ", "replay-a/b", "../x"):
        with pytest.raises(InvalidInput, match="neither main nor replay"):
            Lake(any_lake.store, branch)


# ---- branches


def test_a_replay_reads_main_and_main_never_sees_it(any_lake: Lake) -> None:
    replay, other = Lake(any_lake.store, "replay-7"), Lake(any_lake.store, "replay-8")
    on_main = publish(any_lake)
    assert replay.head("material_scores", ds=DS) == on_main
    assert replay.as_of("material_scores", 1, ds=DS) == on_main
    again = publish(replay, scores(5), inputs=[on_main])
    assert (again.ref, again.number) == ("replay-7:material_scores/ds=2026-11-14@1", 1)
    assert replay.head("material_scores", ds=DS) == replay.as_of("material_scores", 1, ds=DS) == again
    assert any_lake.head("material_scores", ds=DS) == other.head("material_scores", ds=DS) == on_main
    assert any_lake.cited(again.citation()) == again
    publish(replay, ds="2026-11-15")
    assert replay.partitions("material_scores") == [{"ds": DS}, {"ds": "2026-11-15"}]
    assert any_lake.partitions("material_scores") == [{"ds": DS}]


def test_a_replay_reads_main_s_logs_and_writes_none(any_lake: Lake) -> None:
    rows = valid_rows("suppressions", 3)
    any_lake.append_log("suppressions", rows)
    replay = Lake(any_lake.store, "replay-7")
    assert replay.read_log("suppressions").equals(rows)
    assert len(replay.history("suppressions", log="0")) == 1
    with pytest.raises(InvalidInput, match=r"is main's, and never written on replay-7"):
        replay.append_log("suppressions", rows)


# ---- logs


def test_a_log_keeps_every_entry_in_order_under_concurrency(any_lake: Lake) -> None:
    assert any_lake.read_log("stops").num_rows == 0
    entries = [valid_rows("stops", 2, seed=seed) for seed in range(6)]
    any_lake.append_log("stops", entries[0])
    before = any_lake.read_log("stops")
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda table: Lake(any_lake.store).append_log("stops", table), entries[1:]))
    after = any_lake.read_log("stops")
    assert after.num_rows == 12
    assert after.slice(0, 2).equals(before)
    assert Lake(any_lake.store).read_log("stops").equals(after)


def test_equal_log_entries_are_both_kept(any_lake: Lake) -> None:
    for _ in range(2):
        any_lake.append_log("stops", valid_rows("stops", 1))
    assert any_lake.read_log("stops").num_rows == 2


def test_a_log_reads_only_what_is_new(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    any_lake.append_log("stops", valid_rows("stops", 1))
    any_lake.read_log("stops")
    seen: list[int] = []
    real = any_lake.load
    monkeypatch.setattr(any_lake, "load", lambda *args: seen.append(args[-1]) or real(*args))
    any_lake.append_log("stops", valid_rows("stops", 1))
    assert any_lake.read_log("stops").num_rows == 2
    assert seen == [2]


def test_a_lake_travels_to_a_worker(any_lake: Lake) -> None:
    commit = publish(any_lake)
    assert pickle.loads(pickle.dumps(any_lake)).read(commit).equals(any_lake.read(commit))

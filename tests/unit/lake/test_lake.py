"""Write, audit, publish; who reads what; logs and chains. On both stores."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from angelia.contracts import CONTRACTS
from angelia.contracts.rows import valid_rows
from angelia.errors import Conflict, Corrupt, InvalidInput, NotFound
from angelia.lake import Attempt, Commit, FileEntry, Lake
from angelia.lake.lake import MAIN
from angelia.lake.store import LocalStore, Store, Unsettled
from angelia.users.chain import append_chain

DS = "2026-11-14"


def scores(*ordinals: int) -> pa.Table:
    n = len(ordinals)
    return pa.table(
        {
            "ordinal": pa.array(ordinals, pa.uint32()),
            "campaign_id": ["price_drop"] * n,
            "material_id": ["camera"] * n,
            "p_open": [0.25] * n,
        }
    )


def publish(lake: Lake, table: pa.Table | None = None, ds: str = DS, **how: Any) -> Commit:
    with lake.attempt("material_scores", ds=ds) as attempt:
        attempt.write(scores(1, 2) if table is None else table, "part-0000.parquet", shards=(0, 0))
        return attempt.publish(**how)


def users(first: int, last: int) -> pa.Table:
    return pa.table(
        {
            "user_id": [f"u{i}" for i in range(first, last)],
            "ordinal": pa.array(range(first, last), pa.uint32()),
        }
    )


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_dataset_comes_back_as_it_was_written(lake: Lake, name: str) -> None:
    rows = valid_rows(name, 40)
    leaf = {key: DS if key == "ds" else "0" for key in CONTRACTS[name].partition}
    with lake.attempt(name, **leaf) as attempt:
        attempt.write(rows, "part-0000.parquet")
        made = attempt.publish()
    found = lake.require(name, **dict(reversed(leaf.items())))
    assert found == made
    assert (found.ref, found.sha256) == (made.ref, made.sha256)
    assert lake.read(found).equals(rows)
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
    found = any_lake.require("material_scores", ds=DS)
    assert found == made
    assert (found.number, found.rows, found.rejects, found.params) == (
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


def test_a_rerun_makes_the_next_commit_and_old_ones_stay_readable(any_lake: Lake) -> None:
    first, second = publish(any_lake), publish(any_lake)
    assert (first.number, second.number) == (1, 2)
    assert first.sha256 == second.sha256
    third = publish(any_lake, scores(9))
    assert any_lake.require("material_scores", ds=DS) == third
    assert any_lake.read(any_lake.as_of("material_scores", 1, ds=DS))["ordinal"].to_pylist() == [1, 2]
    assert [commit.number for commit in any_lake.history("material_scores", ds=DS)] == [1, 2, 3]
    with pytest.raises(NotFound, match="no commit 9"):
        any_lake.as_of("material_scores", 9, ds=DS)


def _race(lake: Lake, mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[Commit, Commit]:
    """Publish `theirs` between the moment `mine` looked for its number and its create."""
    other = Lake(lake.store, MAIN)
    real, won = lake.store.create, []

    def late(key: str, data: bytes) -> bool:
        if not won:
            won.append(None)
            won[0] = publish(other, **theirs)
        return real(key, data)

    lake.store.create = late  # type: ignore[method-assign]
    try:
        return publish(lake, **mine), won[0]  # type: ignore[return-value]
    finally:
        lake.store.create = real  # type: ignore[method-assign]


def test_the_loser_adopts_an_equal_winner_and_drops_its_own_files(any_lake: Lake) -> None:
    how = {"inputs": ["user_events/ds=2026-11-14@1"], "params": {"seed": 7}}
    mine, theirs = _race(any_lake, {**how, "meta": {"seconds": 1}}, {**how, "meta": {"seconds": 2}})
    assert mine == theirs
    assert len(any_lake.history("material_scores", ds=DS)) == 1
    assert sorted(key for key in any_lake.store.list("") if "attempt-" in key) == [mine.files[0].path]


def test_the_loser_with_other_parameters_takes_the_next_number(any_lake: Lake) -> None:
    own, winner = _race(any_lake, {"params": {"seed": 7}}, {"params": {"seed": 8}})
    assert (winner.number, own.number) == (1, 2)
    any_lake.check_bytes(own.files[0])


def test_the_loser_with_other_inputs_takes_the_next_number_and_keeps_them(any_lake: Lake) -> None:
    cited = ["user_events/ds=2026-11-14@1", "user_profiles/ds=2026-11-14@1"]
    own, winner = _race(any_lake, {"inputs": iter(cited)}, {"inputs": cited[:1]})
    assert (winner.number, own.number) == (1, 2)
    assert own.inputs == tuple(cited)


def test_the_loser_with_other_code_takes_the_next_number(
    any_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(["1.0+mine", "1.0+theirs"])
    monkeypatch.setattr("angelia.lake.attempt.code_version", lambda: next(versions))
    own, winner = _race(any_lake, {}, {})
    assert (own.code_version, winner.code_version) == ("1.0+mine", "1.0+theirs")
    assert (winner.number, own.number) == (1, 2)


def test_many_writers_at_once_each_get_a_number(any_lake: Lake) -> None:
    with ThreadPoolExecutor(6) as pool:
        commits = list(
            pool.map(
                lambda seed: publish(Lake(any_lake.store), scores(seed), params={"seed": seed}), range(6)
            )
        )
    assert sorted(commit.number for commit in commits) == [1, 2, 3, 4, 5, 6]
    for commit in commits:
        assert any_lake.as_of("material_scores", commit.number, ds=DS) == commit


def test_an_unsettled_publish_keeps_its_files(any_lake: Lake) -> None:
    real = any_lake.store.create

    def arrives_but_says_nothing(key: str, data: bytes) -> bool:
        real(key, data)
        raise Unsettled("no answer")

    any_lake.store.create = arrives_but_says_nothing  # type: ignore[method-assign]
    with pytest.raises(Unsettled):
        publish(any_lake)
    any_lake.store.create = real  # type: ignore[method-assign]
    any_lake.check_bytes(any_lake.require("material_scores", ds=DS).files[0])


# ---- audit


def entry_of(lake: Lake, attempt: Attempt, table: pa.Table, **changes: Any) -> FileEntry:
    return replace(lake.write_file("material_scores", attempt.folder, table, "part-0000.parquet"), **changes)


def publish_as(lake: Lake, entries: Callable[[Attempt], list[FileEntry]]) -> Commit:
    with lake.attempt("material_scores", ds=DS) as attempt:
        for entry in entries(attempt):
            attempt.add(entry)
        return attempt.publish()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"bytes": 5}, Corrupt, "its commit says 5"),
        ({"rows": 5}, Corrupt, "2 rows, its commit says 5"),
        ({"path": "main/material_scores/ds=2026-11-14/attempt-0/gone.parquet"}, Corrupt, "missing"),
        (
            {"path": "main/material_scores/ds=2026-11-13/attempt-0/x.parquet"},
            InvalidInput,
            "not of this partition",
        ),
    ],
)
def test_the_audit_refuses_files_that_are_not_as_said(
    any_lake: Lake, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        publish_as(any_lake, lambda attempt: [entry_of(any_lake, attempt, scores(1, 2), **changes)])
    assert list(any_lake.store.list("")) == []


def test_the_audit_refuses_a_file_named_twice(any_lake: Lake) -> None:
    with pytest.raises(InvalidInput, match="named twice"):
        publish_as(any_lake, lambda attempt: [entry_of(any_lake, attempt, scores(1))] * 2)


def test_the_audit_refuses_what_is_no_parquet(any_lake: Lake) -> None:
    def text(attempt: Attempt) -> list[FileEntry]:
        any_lake.store.put(f"{attempt.folder}/x.parquet", b"no parquet at all")
        return [FileEntry(f"{attempt.folder}/x.parquet", 17, "0" * 64, 1)]

    with pytest.raises(Corrupt, match="footer cannot be read"):
        publish_as(any_lake, text)


def test_the_audit_compares_columns_with_the_contract_unless_taken_as_they_came(any_lake: Lake) -> None:
    other = scores(1, 2).drop_columns(["material_id"]).set_column(0, "ordinal", pa.array([1, 2], pa.int64()))
    commit = publish_as(
        any_lake,
        lambda attempt: [
            any_lake.write_file("material_scores", attempt.folder, other, "x.parquet", conform=False)
        ],
    )
    assert not any_lake.require("material_scores", ds=DS).files[0].conforms

    def pretend(attempt: Attempt) -> list[FileEntry]:
        entry = any_lake.write_file("material_scores", attempt.folder, other, "x.parquet", conform=False)
        return [replace(entry, conforms=True)]

    with pytest.raises(
        Corrupt, match=r"ordinal: int64, contract uint32; material_id: absent, contract string"
    ):
        publish_as(any_lake, pretend)
    assert any_lake.require("material_scores", ds=DS) == commit


def test_a_footer_longer_than_one_read_is_read_whole(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angelia.lake.attempt.TAIL_BYTES", 16)
    assert publish(any_lake).rows == 2


def test_a_broken_table_is_refused_before_it_is_written(any_lake: Lake) -> None:
    with pytest.raises(InvalidInput, match="missing columns"):
        publish(any_lake, scores(1).drop_columns(["p_open"]))
    assert list(any_lake.store.list("")) == []


def test_same_rows_same_bytes(any_lake: Lake) -> None:
    assert publish(any_lake).files[0].sha256 == publish(any_lake).files[0].sha256


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
def test_damage_is_seen_by_check_bytes_by_reading_and_by_local_copies(any_lake: Lake, how: str) -> None:
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
        found = duckdb.sql(
            "SELECT * FROM read_parquet($paths, hive_partitioning = false)", params={"paths": paths}
        ).fetchall()
        assert found == [(1, "price_drop", "camera", 0.25), (2, "price_drop", "camera", 0.25)]
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


def test_partitions_sorts_filters_and_ignores_what_is_no_partition(any_lake: Lake) -> None:
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


def test_a_replay_reads_main_until_it_has_its_own_and_main_never_sees_it(any_lake: Lake) -> None:
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


# ---- logs and chains


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


def test_a_chain_grows_and_lists_all_earlier_files(any_lake: Lake) -> None:
    first = append_chain(
        any_lake,
        "user_index",
        [users(0, 300), users(300, 512)],
        expected=None,
        shard_bits=8,
        rejects={"bad id": 2},
    )
    assert (first.meta, first.rejects) == ({"shard_bits": 8, "n_users": 512}, {"bad id": 2})
    second = append_chain(
        any_lake, "user_index", [users(512, 520)], expected=first, shard_bits=8, meta={"ds": DS}
    )
    assert (second.number, second.meta) == (2, {"shard_bits": 8, "n_users": 520, "ds": DS})
    assert second.files[:2] == first.files
    assert [entry.shards for entry in second.files] == [(0, 1), (1, 1), (2, 2)]
    assert any_lake.read(second)["ordinal"].to_pylist() == list(range(520))
    assert append_chain(any_lake, "user_index", [users(520, 520)], expected=second, shard_bits=8) == second
    assert any_lake.head("user_index", chain="0") == second


def test_a_chain_refuses_what_would_break_ordinals(any_lake: Lake) -> None:
    head = append_chain(any_lake, "user_index", [users(0, 10)], expected=None, shard_bits=8)
    for tables, bits, says in [
        ([users(10, 20)], 14, "begun with shard_bits 8, not 14"),
        ([users(11, 20)], 8, "consecutive from 10"),
        ([users(10, 12), users(13, 20)], 8, "consecutive from 12"),
    ]:
        with pytest.raises(InvalidInput, match=says):
            append_chain(any_lake, "user_index", tables, expected=head, shard_bits=bits)
    with pytest.raises(InvalidInput, match="never written on replay-1"):
        append_chain(
            Lake(any_lake.store, "replay-1"), "user_index", [users(10, 20)], expected=head, shard_bits=8
        )
    assert len([key for key in any_lake.store.list("") if "attempt-" in key]) == 1


def test_a_moved_chain_head_is_a_conflict(any_lake: Lake) -> None:
    head = append_chain(any_lake, "user_index", [users(0, 10)], expected=None, shard_bits=8)
    append_chain(any_lake, "user_index", [users(10, 11)], expected=head, shard_bits=8)
    with pytest.raises(Conflict, match="moved to 2"):
        append_chain(any_lake, "user_index", [users(10, 12)], expected=head, shard_bits=8)
    with pytest.raises(Conflict, match="moved to 2"):
        append_chain(any_lake, "user_index", [users(0, 5)], expected=None, shard_bits=8)
    assert any_lake.require("user_index", chain="0").rows == 11


def test_of_many_appenders_one_wins(any_lake: Lake) -> None:
    def append(i: int) -> bool:
        try:
            append_chain(Lake(any_lake.store), "user_index", [users(0, 10 + i)], expected=None, shard_bits=8)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(append, range(5))) == 1
    assert len([key for key in any_lake.store.list("") if "attempt-" in key]) == 1


def test_a_lake_travels_to_a_worker(any_lake: Lake) -> None:
    commit = publish(any_lake)
    assert pickle.loads(pickle.dumps(any_lake)).read(commit).equals(any_lake.read(commit))

"""`expire` removes what nobody needs, and nothing else.

On both stores.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from angelia.contracts.rows import valid_rows
from angelia.errors import Corrupt, NotFound
from angelia.lake import Commit, Lake
from angelia.lake.expire import expire
from angelia.lake.store import LocalStore, Store
from angelia.lake.verify import verify
from tests.user_index import append_people

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def lake_at(store: Store, days: float = 0, branch: str = "main") -> Lake:
    return Lake(store, branch, clock=lambda: NOON + timedelta(days=days))


def publish(lake: Lake, name: str, ds: str, seed: int = 1, **how: Any) -> Commit:
    with lake.attempt(name, ds=ds) as attempt:
        attempt.write(valid_rows(name, 20, seed=seed, ds=ds), "part-0000.parquet")
        return attempt.publish(**how)


def keys(store: Store, part: str) -> list[str]:
    return [key for key in store.list("") if part in key]


def test_superseded_commits_go_and_lineage_stays(store: Store) -> None:
    old = publish(lake_at(store, -40), "user_days", "2026-10-10")
    cites = publish(lake_at(store, -40), "user_features", "2026-10-10", inputs=[old])
    new = publish(lake_at(store, -20), "user_days", "2026-10-10", seed=2)
    lake = lake_at(store)
    assert expire(lake, 30).commits == []  # superseded 20 days ago only
    would = expire(lake, 10, dry_run=True)
    assert (would.commits, would.files, would.bytes) == ([old.ref], 1, old.files[0].bytes)
    assert store.exists(old.files[0].path)
    assert expire(lake, 10) == would
    assert not store.exists(old.files[0].path)
    assert lake.head("user_days", ds="2026-10-10") == new
    assert [commit.number for commit in lake.history("user_days", ds="2026-10-10")] == [2]
    with pytest.raises(NotFound):
        lake.as_of("user_days", 1, ds="2026-10-10")
    assert lake.cited(cites.inputs[0]) == old
    verdict = verify(lake)
    assert (verdict.problems, verdict.expired) == ([], 1)
    assert expire(lake, 10).files == 0


def test_numbers_of_expired_days_are_never_given_again(store: Store) -> None:
    lake = lake_at(store)
    publish(lake, "dispatch_manifest", "2026-10-20")  # 31 days ago, kept 30
    kept = publish(lake, "dispatch_manifest", "2026-10-22")
    forever = publish(lake, "decisions", "2025-01-01")
    result = expire(lake, 30)
    assert result.commits == ["dispatch_manifest/ds=2026-10-20@1"]
    assert keys(store, "dispatch_manifest/ds=2026-10-20/attempt") == []
    assert lake.partitions("dispatch_manifest") == [{"ds": "2026-10-22"}]
    assert lake.head("dispatch_manifest", ds="2026-10-20") is None
    assert lake.require("decisions", ds="2025-01-01") == forever
    assert lake.require("dispatch_manifest", ds="2026-10-22") == kept
    assert publish(lake, "dispatch_manifest", "2026-10-20").number == 2


def test_a_replay_s_manifests_expire_too(store: Store) -> None:
    replay = lake_at(store, branch="replay-7")
    publish(replay, "dispatch_manifest", "2026-10-01")
    assert expire(lake_at(store), 30).commits == ["replay-7:dispatch_manifest/ds=2026-10-01@1"]
    assert keys(store, "replay-7/dispatch_manifest/ds=2026-10-01/attempt") == []


def test_what_a_pending_plan_cites_stays_however_indirectly(store: Store) -> None:
    early = lake_at(store, -60)
    profiles = publish(early, "user_profiles", "2026-09-01")
    days = publish(early, "user_days", "2026-09-01", inputs=[profiles])
    unrelated = publish(early, "user_days", "2026-09-02")
    for name, ds in [
        ("user_profiles", "2026-09-01"),
        ("user_days", "2026-09-01"),
        ("user_days", "2026-09-02"),
    ]:
        publish(early, name, ds, seed=9)
    plan = publish(early, "decisions", "2026-11-18", inputs=[days])
    first = publish(early, "dispatch_manifest", "2026-11-18", inputs=[plan])
    publish(early, "dispatch_manifest", "2026-11-18", seed=9, inputs=[plan])  # a seal may name the first
    result = expire(lake_at(store), 1)
    assert result.commits == [unrelated.ref]
    assert result.kept_for_plans == 5
    for commit in (profiles, days, plan, first):
        assert store.exists(commit.files[0].path)
    later = expire(lake_at(store, 10), 1)
    assert set(later.commits) == {profiles.ref, days.ref}


def test_nights_that_go_on_from_each_other_are_not_kept_for_ever(store: Store) -> None:
    # Each night's curves go on from the record of the night before, and know the messages that it sent.
    nights = ["2026-10-16", "2026-10-17", "2026-11-17", "2026-11-18"]
    cited: list[Commit] = []
    days = []
    for ds in nights:
        made = lake_at(store, -60)
        days.append(publish(made, "user_days", ds))
        publish(made, "user_days", ds, seed=9)
        curves = publish(made, "send_times", ds, inputs=[days[-1], *cited])
        plan = publish(made, "decisions", ds, inputs=[curves])
        cited = [curves, publish(made, "dispatch_manifest", ds, inputs=[plan])]
    result = expire(lake_at(store), 1)
    # Addresses of five weeks ago go, and so does what their nights were made of; what tonight's is stays.
    assert set(result.commits) == {
        days[0].ref, days[1].ref, "dispatch_manifest/ds=2026-10-16@1", "dispatch_manifest/ds=2026-10-17@1",
    }  # fmt: skip
    assert store.exists(days[2].files[0].path)
    assert verify(lake_at(store)).problems == []


def test_manifests_that_may_be_answered_stay(store: Store) -> None:
    """Callbacks answer eight days, a plan is sent for six, and a seal may name any commit."""
    early = lake_at(store, -60)
    first = publish(early, "dispatch_manifest", "2026-11-18")
    second = publish(early, "dispatch_manifest", "2026-11-18", seed=9)
    assert expire(lake_at(store, 10), 6).commits == []
    assert store.exists(first.files[0].path)
    assert expire(lake_at(store, 12), 6).commits == [first.ref]
    assert expire(lake_at(store, 29), 6).commits == [second.ref]


def test_a_ledger_stays_as_long_as_people_may_opt_out(store: Store) -> None:
    early = lake_at(store, -60)
    with early.attempt("delivery_ledger", ds="2026-09-20", send_hour="2026-09-21T04", part="p") as attempt:
        attempt.write(valid_rows("delivery_ledger", 20, seed=1, ds="2026-09-20"), "part-0000.parquet")
        commit = attempt.publish()
    assert expire(lake_at(store, 300), 6).commits == []
    assert expire(lake_at(store, 400), 6).commits == [commit.ref]


def test_logs_and_chain_files_never_expire(store: Store) -> None:
    lake = lake_at(store, -400)
    for seed in (1, 2):
        lake.append_log("stops", valid_rows("stops", 2, seed=seed))
    head = None
    for first in (0, 10):
        table = pa.table(
            {
                "user_id": [f"u{i}" for i in range(first, first + 10)],
                "ordinal": pa.array(range(first, first + 10), pa.uint32()),
            }
        )
        head = append_people(lake, [table], expected=head, shard_bits=8)
    result = expire(lake_at(store), 1)
    assert (result.commits, result.files) == (["user_index/chain=0@1"], 0)
    assert lake_at(store).read_log("stops").num_rows == 4
    standing = lake_at(store).require("user_index", chain="0")
    assert lake.read(standing).num_rows == 20
    assert verify(lake_at(store)).problems == []


def test_orphans_go_when_old_and_live_attempts_stay(store: Store, tmp_path: Path) -> None:
    lake = Lake(store)
    commit = publish(lake, "user_days", "2026-11-14")
    attempt = lake.attempt("user_days", ds="2026-11-14")
    attempt.write(valid_rows("user_days", 5), "part-0000.parquet")
    never = lake.attempt("user_days", ds="2026-11-13")  # a leaf without any commit
    never.write(valid_rows("user_days", 5), "part-0000.parquet")
    assert expire(lake, 30).orphans == []
    tomorrow = Lake(store, clock=lambda: datetime.now(UTC) + timedelta(days=1, minutes=1))
    would = expire(tomorrow, 30, dry_run=True)
    assert sorted(would.orphans) == sorted([attempt.folder, never.folder])
    assert len(keys(store, "attempt-")) == 3
    if isinstance(store, LocalStore):
        (store.root / ".tmp" / "leftover").write_bytes(b"x")
        os.utime(store.root / ".tmp" / "leftover", (0, 0))
    result = expire(tomorrow, 30)
    assert result.orphans == would.orphans
    assert result.leftovers == (1 if isinstance(store, LocalStore) else 0)
    assert keys(store, "attempt-") == [commit.files[0].path]


def test_what_is_not_ours_is_left_alone(store: Store) -> None:
    for key in (
        "seals/2026-11-14/2026-11-15T04",
        "main/user_days/README",
        "main/user_days/ds=2026-11-14/notes",
        "other/user_days/ds=2020-01-01/attempt-1/x",
    ):
        store.create(key, b"x")
    expire(lake_at(store, 1000), 1)
    assert len(list(store.list(""))) == 4


def test_expire_finishes_what_a_crashed_one_began(store: Store) -> None:
    early = lake_at(store, -60)
    old = publish(early, "user_days", "2026-09-01")
    publish(early, "user_days", "2026-09-01", seed=2)
    store.create(old.key.replace(".json", ".expired"), b"{}\n")  # killed after the marker, before the files
    assert expire(lake_at(store), 30).files == 1
    assert not store.exists(old.files[0].path)


def test_expire_stops_where_a_commit_cannot_be_read(store: Store) -> None:
    old = publish(lake_at(store, -60), "user_days", "2026-09-01")
    store.create("main/user_days/ds=2026-09-01/_commits/00000002.json", b"half")
    with pytest.raises(Corrupt, match="not a commit file"):
        expire(lake_at(store), 1)
    assert store.exists(old.files[0].path)

"""A commit's file and hashes: what was done decides them, not when or by which attempt."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.lake.commit import Commit, FileEntry, in_shard, leaf_folder, plain

ENTRY = FileEntry("main/user_days/ds=2026-11-14/attempt-1/send_hour=04/p.parquet", 10, "ab" * 32, 3, (0, 7))
COMMIT = Commit(
    branch="main",
    dataset="user_days",
    contract_version=1,
    partition={"ds": "2026-11-14", "part": "p"},
    number=7,
    files=(ENTRY, replace(ENTRY, sha256="cd" * 32, rows=4)),
    inputs=("user_events/ds=2026-11-14@1#0123", "user_index/chain=0@2#4567"),
    params={"days": 28},
    meta={},
    rejects={"dirty": 1},
    code_version="1.0",
    created_ts="2026-11-15T02:00:00Z",
    nonce="n",
)
COMMIT_KEY = "main/user_days/ds=2026-11-14/_commits/00000007.json"


def test_a_commit_comes_back_from_its_file() -> None:
    assert Commit.from_bytes(COMMIT.to_bytes()) == COMMIT
    assert FileEntry.from_json(ENTRY.to_json()) == ENTRY
    # Files of earlier releases lack the later fields.
    old = {"path": "p", "bytes": 1, "sha256": "a", "rows": 2}
    assert FileEntry.from_dict(old) == FileEntry("p", 1, "a", 2)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"contract_version": 2}, r"version 2 of its contract \(here 1\)"), ({"more": 1}, "fields")],
)
def test_what_a_newer_release_wrote_is_refused(lake: Lake, change: dict[str, int], what: str) -> None:
    raw = json.loads(replace(COMMIT, partition={"ds": "2026-11-14"}).to_bytes())
    lake.store.create(COMMIT_KEY, json.dumps(raw | change).encode())
    with pytest.raises(InvalidInput, match=f"commit 7 of user_days has {what} that this release") as refused:
        lake.require("user_days", ds="2026-11-14")
    assert "use the release that wrote it" in refused.value.one_line()
    raw["nonse"] = raw.pop("nonce")  # damaged, and not newer
    with pytest.raises(TypeError):
        Commit.from_bytes(json.dumps(raw).encode())


def test_names_and_places_follow_the_partition() -> None:
    assert COMMIT.ref == "user_days/ds=2026-11-14/part=p@7"
    assert replace(COMMIT, branch="replay-1").ref == "replay-1:user_days/ds=2026-11-14/part=p@7"
    assert COMMIT.key == "main/user_days/ds=2026-11-14/part=p/_commits/00000007.json"
    assert leaf_folder("main", "stops", {"log": "0"}) == "main/stops/log=0"
    assert (COMMIT.rows, ENTRY.name) == (7, "send_hour=04/p.parquet")


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({"created_ts": "2027-01-01T00:00:00Z", "nonce": "m", "number": 8, "branch": "replay-1"}, True),
        ({"files": COMMIT.files[::-1], "inputs": COMMIT.inputs[::-1]}, True),
        ({"files": COMMIT.files[:1]}, False),
        ({"params": {"days": 27}}, False),
        ({"rejects": {}}, False),
        ({"code_version": "1.1"}, False),
    ],
)
def test_the_hash_covers_what_was_done_and_not_when(change: dict[str, object], is_same: bool) -> None:
    other = replace(COMMIT, **change)  # type: ignore[arg-type]
    assert (other.sha256 == COMMIT.sha256) == is_same
    assert (other.citation().partition("#")[2] == COMMIT.sha256[:16]) == is_same


def test_racers_may_adopt_results_of_equal_making_only() -> None:
    assert replace(COMMIT, files=(), meta={"rows": 1}).made_by == COMMIT.made_by
    assert replace(COMMIT, inputs=COMMIT.inputs[:1]).made_by != COMMIT.made_by
    assert replace(COMMIT, contract_version=4).made_by != COMMIT.made_by


def test_an_erased_file_keeps_the_identity_of_its_rows() -> None:
    assert (ENTRY.identity, replace(ENTRY, replaces="ef" * 32).identity) == ("ab" * 32, "ef" * 32)


def test_parameters_are_as_json_gives_them_back() -> None:
    given = {"a": (1, 2), 3: np.int64(5), "c": Decimal("1.50")}
    assert plain(given) == {"a": [1, 2], "3": 5, "c": "1.50"}
    assert plain(None) == {}


@pytest.mark.parametrize(("shard", "kept"), [(0, True), (7, True), (8, False)])
def test_files_of_a_shard_are_found_at_both_ends_of_their_range(shard: int, kept: bool) -> None:
    assert in_shard(shard)(ENTRY) == kept
    assert in_shard(shard)(replace(ENTRY, shards=None)), "a file of unknown shards may hold any"

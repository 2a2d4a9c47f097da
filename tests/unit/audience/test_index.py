"""Ordinals: handed out once, never moved, never reused, whoever races whom."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.audience.index import append_users, index_head
from angelia.errors import InvalidInput
from angelia.lake import Lake


def _append(url: str, users: list[str], barrier: threading.Barrier) -> None:
    lake = Lake.open(url)
    head = index_head(lake)
    known = set(lake.read(head, ["user_id"])["user_id"].to_pylist()) if head else set()
    fresh = [user for user in users if user not in known]
    barrier.wait()  # everyone has read the same head: all but one will lose
    append_users(lake, pa.table({"user_id": pa.array(fresh, pa.string())}), seen=head, shard_bits=4)


def ordinals(lake: Lake) -> dict[str, int]:
    head = index_head(lake)
    assert head is not None
    rows = lake.read(head)
    found = dict(zip(rows["user_id"].to_pylist(), rows["ordinal"].to_pylist(), strict=True))
    assert len(found) == rows.num_rows == head.meta["n_users"]
    assert sorted(found.values()) == list(range(len(found)))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_concurrent_runs_never_move_or_reuse_an_ordinal(tmp_path: Path, seed: int) -> None:
    rng, url = random.Random(seed), str(tmp_path / "lake")
    lake = Lake.open(url)
    everyone = [f"u{i:03d}" for i in range(120)]
    before: dict[str, int] = {}
    wanted: set[str] = set()
    for _ in range(3):
        batches = [rng.sample(everyone, 25) for _ in range(4)]  # they overlap: the same person in several runs
        wanted.update(*batches)
        barrier = threading.Barrier(len(batches), timeout=60)
        with ThreadPoolExecutor(len(batches)) as pool:
            for run in [pool.submit(_append, url, batch, barrier) for batch in batches]:
                run.result(60)
        after = ordinals(lake)
        assert set(after) == wanted
        assert {user: after[user] for user in before} == before
        before = after


APPEND = """
import sys
import pyarrow as pa
from angelia.audience.index import append_users, index_head
from angelia.lake import Lake
lake = Lake.open(sys.argv[1])
head = index_head(lake)
print("ready", flush=True)
sys.stdin.readline()
append_users(lake, pa.table({"user_id": sys.argv[2].split()}), seen=head, shard_bits=4)
"""


def test_concurrent_processes_share_one_chain(tmp_path: Path) -> None:
    url = str(tmp_path / "lake")
    batches = [[f"u{i}" for i in range(first, first + 30)] for first in (0, 20, 40)]
    command = [sys.executable, "-c", APPEND, url]
    runs = [subprocess.Popen([*command, " ".join(batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for batch in batches]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        run.communicate("go\n", timeout=60)
        assert run.returncode == 0
    assert set(ordinals(Lake.open(url))) == {f"u{i}" for i in range(70)}


def test_nothing_new_leaves_the_head(lake: Lake) -> None:
    first = append_users(lake, pa.table({"user_id": ["a", "b"]}), seen=None, shard_bits=4)
    again = append_users(lake, pa.table({"user_id": pa.array([], pa.string())}), seen=first, shard_bits=4)
    assert again.ref == first.ref


def test_a_lost_race_with_the_same_users_appends_nothing(lake: Lake) -> None:
    users = pa.table({"user_id": ["a", "b"]})
    append_users(lake, users, seen=None, shard_bits=4)
    second = append_users(lake, users, seen=None, shard_bits=4)
    assert second.number == 1
    assert ordinals(lake) == {"a": 0, "b": 1}


def test_a_replay_never_appends(lake: Lake) -> None:
    replay = Lake(lake.store, branch="replay-1")
    with pytest.raises(InvalidInput, match="never written on replay-1"):
        append_users(replay, pa.table({"user_id": ["a"]}), seen=None, shard_bits=4)

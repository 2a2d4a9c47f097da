"""Ordinals: handed out once, never moved, never reused, whoever races whom."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.errors import InvalidInput
from angelia.lake import Lake
from angelia.users.index import append_users, index_head


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
    by_user = dict(zip(rows["user_id"].to_pylist(), rows["ordinal"].to_pylist(), strict=True))
    assert len(by_user) == rows.num_rows == head.meta["n_users"]
    assert sorted(by_user.values()) == list(range(len(by_user)))
    return by_user


@pytest.mark.parametrize("seed", [1, 2])
def test_concurrent_runs_never_move_or_reuse_an_ordinal(tmp_path: Path, seed: int) -> None:
    rng, url = random.Random(seed), str(tmp_path / "lake")
    lake = Lake.open(url)
    everyone = [f"u{i:03d}" for i in range(120)]
    before: dict[str, int] = {}
    wanted: set[str] = set()
    for _ in range(3):
        # They overlap: the same person in several runs.
        batches = [rng.sample(everyone, 25) for _ in range(4)]
        wanted.update(*batches)
        barrier = threading.Barrier(len(batches), timeout=60)
        with ThreadPoolExecutor(len(batches)) as pool:
            for run in [pool.submit(_append, url, batch, barrier) for batch in batches]:
                run.result(60)
        after = ordinals(lake)
        assert set(after) == wanted
        assert {user: after[user] for user in before} == before
        before = after


# What index_users does after Spark has found the ids of a day's profiles: compare with the head, give
# ordinals to the rest.
RUN = """
import json, sys
import pyarrow as pa
from angelia.users.index import append_users, index_head
from angelia.lake import Lake
lake = Lake.open(sys.argv[1])
for line in sys.stdin:  # a run: its users, in order
    users = json.loads(line)
    head = index_head(lake)
    known = set(lake.read(head, ["user_id"])["user_id"].to_pylist()) if head else set()
    print("read", flush=True)
    sys.stdin.readline()  # go
    fresh = pa.table({"user_id": pa.array([user for user in users if user not in known], pa.string())})
    print(append_users(lake, fresh, seen=head, shard_bits=4).rows, flush=True)
"""


class Run:
    """A process that does runs, one after the other."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-c", RUN, url]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def test_racing_runs_give_dense_ordinals_for_good(tmp_path: Path) -> None:
    """Runs of all kinds race in processes of their own, some from heads that are long gone.

    Nights, reruns, late users and backfills, several at a time.
    """
    rng, url = random.Random(20), str(tmp_path / "lake")
    lake = Lake.open(url)
    # A day's profiles: most people of the day before, and some who are new; late users stand in an older
    # day's list that comes again.
    days = [
        [f"u{i:03d}" for i in sorted(rng.sample(range(20 * (day + 1)), 12 * (day + 1)))] for day in range(10)
    ]
    runs = [Run(url) for _ in range(3)]
    waiting: list[
        Run
    ] = []  # they have read a head; those that are not let go tonight append from it some nights later
    before: dict[str, int] = {}
    announced: set[str] = set()
    try:
        for tonight in range(len(days) + 1):
            for run in [run for run in runs if run not in waiting and tonight < len(days)]:
                kind = rng.choice(["night", "rerun", "late", "backfill"])
                users = list(days[tonight if kind == "night" else rng.randrange(tonight + 1)])
                if kind == "late":
                    users = list(dict.fromkeys([*users, *(f"late{rng.randrange(40)}" for _ in range(3))]))
                rng.shuffle(users)
                announced.update(users)
                run.tell(json.dumps(users))
                assert run.hear() == "read"
                waiting.append(run)
            going = rng.sample(waiting, len(waiting) if tonight == len(days) else rng.randrange(1, 4))
            for run in going:  # all at once
                run.tell("go")
            for run in going:
                assert int(run.hear()) >= 12  # whatever it appended, the index it returns is no empty one
                waiting.remove(run)
            after = ordinals(lake)  # dense, none given twice
            assert {user: after[user] for user in before} == before  # none moved
            before = after
        assert set(before) == announced
    finally:
        for run in runs:
            run.process.kill()
            run.process.communicate()


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

"""Numbered objects: never overwritten, the newest number wins, branches keep their own."""

from __future__ import annotations

import threading

import pytest

from angelia.errors import Corrupt
from angelia.lake import Lake, numbered
from angelia.quality.verdicts import load

DS = "2026-11-14"


def test_the_newest_wins_and_the_older_stay(lake: Lake) -> None:
    assert numbered.load(lake, "guard", DS) is None
    keys = [numbered.store(lake, "guard", DS, {"n": n}) for n in range(11)]
    assert keys[0] == f"quality/main/{DS}/guard/0001.json"
    assert numbered.load(lake, "guard", DS) == (f"quality/main/{DS}/guard/0011.json", {"n": 10})
    assert sorted(lake.store.list("quality/main")) == keys
    assert numbered.load(lake, "sources", DS) is None


def test_a_branch_reads_its_own_unless_another_is_named(lake: Lake) -> None:
    replay = Lake(lake.store, "replay-1")
    numbered.store(lake, "guard", DS, "main's")
    assert numbered.load(replay, "guard", DS) is None
    numbered.store(replay, "guard", DS, "its own")
    assert numbered.load(replay, "guard", DS) == (f"quality/replay-1/{DS}/guard/0001.json", "its own")
    assert numbered.load(replay, "guard", DS, branch="main") == (
        f"quality/main/{DS}/guard/0001.json",
        "main's",
    )


def test_writers_at_the_same_time_lose_nothing(lake: Lake) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        numbered.store(lake, "guard", DS, number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [lake.store.read(key).strip() for key in lake.store.list(f"quality/main/{DS}")]
    assert sorted(map(int, kept)) == list(range(8))


def test_what_is_no_verdict_is_corrupt_and_names_the_fix(lake: Lake) -> None:
    lake.store.create(f"quality/main/{DS}/sources/0001.json", b"[{torn")
    lake.store.create(f"quality/main/{DS}/plan/0001.json", b'[{"gate": "plan"}]')
    for gate, message in (("sources", "is not JSON"), ("plan", "holds no verdicts")):
        with pytest.raises(Corrupt, match=f"{gate}/0001.json {message}") as corrupt:
            load(lake, gate, DS)
        assert corrupt.value.fix == f"run `angelia quality check --gate {gate} --ds {DS}` again"

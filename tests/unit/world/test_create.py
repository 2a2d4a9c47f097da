"""Creating a world: same seed, same bytes; within the contracts; true propensities."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia.contracts import dataset
from angelia.contracts.constraints import constraints
from angelia.lake import Lake
from angelia.quality.gates import measure
from angelia.world import create as create_module
from angelia.world.clock import day_number
from angelia.world.create import create_world

DS = "2026-11-14"
SOURCES = ("user_profiles", "user_endpoints", "user_preferences", "user_events", "push_history")


def shapes(lake: Lake) -> dict[str, str]:
    """Return the sha256 of every file of every newest source commit, by leaf and file name."""
    by_leaf = {}
    for name in SOURCES:
        for leaf in lake.partitions(name):
            for entry in lake.require(name, **leaf).files:
                by_leaf[f"{name}/{leaf['ds']}/{entry.path.rsplit('/', 1)[-1]}"] = entry.sha256
    return by_leaf


def make(
    tmp_path: Path, name: str, *, users: int = 500, days: int = 4, seed: int = 3, processes: int = 1
) -> Lake:
    root = str(tmp_path / name)
    lake = Lake.open(root)
    create_world(
        lake, root, users=users, days=days, seed=seed, anchor_day=day_number(DS), processes=processes
    )
    return lake


def test_same_seed_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, second, other = make(tmp_path, "a"), make(tmp_path, "b"), make(tmp_path, "c", seed=4)
    assert len(shapes(first)) == 4 + 4 + 3
    assert shapes(first) == shapes(second)
    assert all(shapes(first)[leaf] != sha for leaf, sha in shapes(other).items())


def test_bytes_do_not_depend_on_processes(tmp_path: Path) -> None:
    users = create_module.BLOCK + 200  # two blocks
    assert shapes(make(tmp_path, "one", users=users, days=1)) == shapes(
        make(tmp_path, "two", users=users, days=1, processes=2)
    )


def test_people_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    small, large = make(tmp_path, "small", users=200), make(tmp_path, "large", users=300)
    for name in ("user_profiles", "push_history"):
        few = small.read(small.require(name, ds=DS)).to_pylist()
        many = {
            row["message_id" if name == "push_history" else "user_id"]: row
            for row in large.read(large.require(name, ds=DS)).to_pylist()
        }
        assert few
        assert all(many[row["message_id" if name == "push_history" else "user_id"]] == row for row in few)


def test_creating_again_leaves_the_standing_commits(tmp_path: Path) -> None:
    lake = make(tmp_path, "a")
    make(tmp_path, "a")
    assert {len(lake.history(name, ds=DS)) for name in SOURCES} == {1}
    make(tmp_path, "a", seed=5)
    assert {len(lake.history(name, ds=DS)) for name in SOURCES} == {2}


@pytest.mark.parametrize("name", SOURCES)
def test_every_constraint_holds_within_its_tolerance(world_lake: Lake, name: str) -> None:
    for leaf in world_lake.partitions(name):
        measures = measure(world_lake, name, leaf["ds"])
        for check in constraints(dataset(name)):
            bad = measures.n_bad.get(check.name) or 0
            assert 100 * bad <= check.tolerated_pct * measures.n_rows, (
                leaf,
                check.name,
                bad,
                measures.n_rows,
            )

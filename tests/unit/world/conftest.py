"""One small world for all tests of this folder: 3,000 people, 10 days, their own lake."""

from __future__ import annotations

import pytest

from angelia.lake import Lake
from angelia.world.clock import day_number
from angelia.world.create import create_world
from angelia.world.truth import World

DS = "2026-11-14"


@pytest.fixture(scope="session")
def world_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Return a lake with a world in it; tests must not write to its partitions up to DS."""
    root = str(tmp_path_factory.mktemp("world") / "lake")
    lake = Lake.open(root)
    create_world(lake, root, users=3_000, days=10, seed=11, anchor_day=day_number(DS))
    return lake


@pytest.fixture(scope="session")
def world(world_lake: Lake) -> World:
    """Return the world in `world_lake`."""
    return World.load(world_lake, DS)

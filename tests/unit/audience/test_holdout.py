"""The global holdout: a share drawn by salt, hashed here or read as the night wrote it."""

from __future__ import annotations

from types import ModuleType

import pytest

from angelia.audience.bitmaps.block import Block
from angelia.audience.bitmaps.index import Index
from angelia.audience.bitmaps.sets import NOBODY
from angelia.audience.holdout import HeldOut, Holdout, block_holdout, user_index_of
from angelia.lake import Lake

HALF = Holdout(50.0, "s")


@pytest.fixture
def index(lake: Lake, spec_world: ModuleType) -> Index:
    w = spec_world
    w.write_index(lake, w.World([w.person(i) for i in range(40)]))
    return Index.open(lake, w.DS)


def write(index: Index, holdout: Holdout) -> None:
    users = user_index_of(index)
    assert users is not None
    with index.lake.attempt("holdout_members", ds=index.ds) as attempt:
        for number in range(index.n_blocks):
            attempt.write(block_holdout(index, number, holdout, users), f"block-{number}.parquet")
        attempt.publish(inputs=[users], params=holdout.as_params())


def held(index: Index, holdout: Holdout, keep: bool = False) -> list[int]:
    among, ordinals = HeldOut(index, holdout, keep), []
    for number in range(index.n_blocks):
        block = Block(index, number)
        ordinals += list(block.ordinals(among.among(block, block.everyone())))
    return ordinals


def test_a_share_is_of_ids_and_grows_without_moving_anybody() -> None:
    ids = [f"u{i}" for i in range(4_000)]
    small, large = Holdout(5.0, "s").holds(ids), Holdout(10.0, "s").holds(ids)
    assert not (small & ~large).any()
    assert 300 < large.sum() < 500
    assert not Holdout(0.0, "s").holds(ids).any()
    assert Holdout(100.0, "s").holds(ids).all()
    assert (Holdout(10.0, "t").holds(ids) != large).any()


def test_what_the_night_wrote_is_what_is_hashed_here(index: Index) -> None:
    wanted = [i for i in range(40) if HALF.holds([f"u{i}"])[0]]
    assert held(index, HALF) == held(index, HALF, keep=True) == wanted
    assert not HeldOut(index, HALF).is_written
    write(index, HALF)
    assert HeldOut(index, HALF).is_written
    assert held(index, HALF) == held(index, HALF, keep=True) == wanted


def test_another_holdouts_bitmaps_are_not_read(index: Index) -> None:
    write(index, HALF)
    other = Holdout(50.0, "t")
    assert not HeldOut(index, other).is_written
    assert held(index, other) == [i for i in range(40) if other.holds([f"u{i}"])[0]]


def test_every_shard_has_a_row_and_of_nobody_nobody_is_held(index: Index) -> None:
    users = user_index_of(index)
    assert users is not None
    rows = block_holdout(index, 1, Holdout(0.0, "s"), users)
    assert (rows["shard"].to_pylist(), rows["cardinality"].to_pylist()) == ([1], [0])
    among = HeldOut(index, HALF)
    assert among.is_known
    assert among.among(Block(index, 0), NOBODY) is NOBODY

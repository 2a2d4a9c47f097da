"""One block of the index: what its sets hold, and what was read for them."""

from __future__ import annotations

from types import ModuleType

import pytest

from angelia.audience.bitmaps.block import Block, Reads
from angelia.audience.bitmaps.index import Index
from angelia.audience.bitmaps.sets import positions_of
from angelia.errors import NotFound
from angelia.lake import Lake

World = tuple[Lake, ModuleType]


def block_of(small_world: World, number: int, reads: Reads | None = None) -> Block:
    lake, w = small_world
    return Block(Index.open(lake, w.DS), number, reads)


def test_positions_count_from_the_blocks_first_ordinal(small_world: World) -> None:
    block = block_of(small_world, 2)
    assert (block.base, len(block.everyone())) == (32, 8)
    assert list(block.ordinals(block.everyone())) == list(range(32, 40))
    women = block.get("gender", "value", "f")
    assert list(block.ordinals(women)) == [32, 34, 36, 38]


def test_a_field_without_nulls_is_known_of_everyone(small_world: World) -> None:
    block = block_of(small_world, 0)
    assert block.known("value_28d") is None
    known = block.known("age_years")
    assert known is not None
    assert 3 not in positions_of(known)
    assert block.get("nothing_of_this_name", "value", "x").__len__() == 0
    assert block.slices("nothing_of_this_name") == (0, [])


def test_a_days_counts_are_those_that_were_written(small_world: World) -> None:
    w = small_world[1]
    block = block_of(small_world, 0)
    once, twice = block.day_counts("view", None, w.DS)
    assert positions_of(once).tolist() == [i for i in range(16) if i % 3 == 1]
    assert positions_of(twice).tolist() == [i for i in range(16) if i % 3 == 2]
    assert block.day_counts("fly", None, w.DS) == []
    who, micros = block.amounts("purchase", block.index.last_days(4))
    assert who.tolist() == list(range(10))
    assert set(micros.tolist()) == {2_500_000}
    assert "received:sale" in block.fields_on("2026-11-13")


def test_a_set_is_read_and_counted_once(small_world: World) -> None:
    reads = Reads()
    block = block_of(small_world, 0, reads)
    block.get("gender", "value", "f")
    size = reads.bytes
    block.get("gender", "value", "f")
    assert (reads.bitmaps, reads.bytes, reads.fields) == (1, size, {"gender": 1})
    other = Reads(1, 10, 2, {"gender": 1, "tag": 1})
    reads.merge(other)
    assert (reads.bitmaps, reads.bytes, reads.rows) == (2, size + 10, 2)
    assert reads.fields == {"gender": 2, "tag": 1}


def test_a_list_holds_the_blocks_people_or_is_not_there(small_world: World) -> None:
    for number, wanted in ((0, [1]), (1, [17]), (2, [33])):
        block = block_of(small_world, number)
        assert list(block.ordinals(block.list_members("vip"))) == wanted
    with pytest.raises(NotFound, match="no list 'vap'"):
        block_of(small_world, 0).list_members("vap")

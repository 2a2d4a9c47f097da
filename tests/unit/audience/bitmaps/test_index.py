"""The index of a day: its blocks and shards, the days it cites, and files opened once."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from angelia.audience.bitmaps.index import Index, check_version, holds_any
from angelia.errors import InvalidInput, NotFound
from angelia.lake import FileEntry, Lake

World = tuple[Lake, ModuleType]


@pytest.fixture
def index(small_world: World) -> Index:
    lake, w = small_world
    return Index.open(lake, w.DS)


def test_blocks_cover_everyone_and_the_last_may_be_short(index: Index) -> None:
    assert (index.width, index.n_blocks, index.n_shards) == (16, 3, 3)
    assert replace(index, n_ordinals=32).n_blocks == 2
    assert replace(index, n_ordinals=33).n_blocks == 3
    wide = replace(index, block_bits=5)
    assert [list(wide.shards_of(block)) for block in range(wide.n_blocks)] == [[0, 1], [2]]


def test_days_are_counted_back_from_the_indexs(index: Index) -> None:
    assert index.last_days(2) == ["2026-11-14", "2026-11-13"]
    assert len(index.last_days(index.history_days)) == 6
    with pytest.raises(InvalidInput, match="covers 6 days, not 7"):
        index.last_days(7)


def test_a_file_of_two_blocks_is_opened_once_until_released(index: Index) -> None:
    first, _ = index.file_of_day(index.ds, 0)
    assert first is not None
    assert index.file_of_day(index.ds, 1)[0] is first
    index.release(0)
    assert index.file_of_day(index.ds, 1)[0] is first, "the second block still stands in it"
    index.release(1)
    assert index.file_of_day(index.ds, 1)[0] is not first


def test_a_day_that_is_not_cited_has_no_file(index: Index) -> None:
    assert index.file_of_day("2026-01-01", 0) == (None, False)
    assert index.file(99) is None


def test_another_contract_version_is_refused(index: Index) -> None:
    other = replace(index.commit, contract_version=1)
    with pytest.raises(InvalidInput, match="contract version 1, this code reads 3"):
        check_version(other, "build it again")
    with pytest.raises(NotFound):
        Index.open(index.lake, "2020-01-01")


def test_files_are_chosen_by_their_shards(index: Index) -> None:
    wanted = holds_any(range(2, 4))
    entry = index.commit.files[0]
    chosen = [shards for shards in ((0, 1), (1, 2), (3, 9), (4, 5)) if wanted(replace(entry, shards=shards))]
    assert chosen == [(1, 2), (3, 9)]
    assert wanted(replace(entry, shards=None))
    assert isinstance(entry, FileEntry)

"""Sets of people: the index and its days hold the same columns; members lie by shard."""

from __future__ import annotations

import pyarrow as pa

from angelia.contracts.selecting import (
    AUDIENCE_MEMBERS,
    BITMAP_DAYS,
    BITMAP_INDEX,
    HOLDOUT_MEMBERS,
    USER_LISTS,
)


def test_a_days_bitmaps_are_read_like_the_indexs() -> None:
    assert BITMAP_DAYS.columns == BITMAP_INDEX.columns
    assert BITMAP_DAYS.key == BITMAP_INDEX.key
    assert BITMAP_DAYS.written_by == BITMAP_INDEX.written_by == ("build_bitmaps",)


def test_a_slice_numbers_the_bits_of_a_64_bit_number() -> None:
    assert (BITMAP_INDEX["bit"].minimum, BITMAP_INDEX["bit"].maximum) == (0, 63)


def test_members_are_one_set_a_shard() -> None:
    for contract in (AUDIENCE_MEMBERS, HOLDOUT_MEMBERS, USER_LISTS):
        assert contract.key[-1] == "shard"
        assert contract["bitmap"].type == pa.binary()
        assert not any(column.nullable for column in contract.columns)


def test_no_set_of_people_names_anybody() -> None:
    """Ordinals are numbers of our own: whoever reads a set alone learns nobody's id."""
    for contract in (BITMAP_INDEX, BITMAP_DAYS, AUDIENCE_MEMBERS, HOLDOUT_MEMBERS, USER_LISTS):
        assert not any(column.personal for column in contract.columns)
        assert "user_id" not in contract

"""Sets of one block's people: blocks of a size to work with, NULLs, NaN, who is reachable."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from angelia.audience.bitmaps.bitmaps import BLOCKS, BlockPeople, block_bits_for, blocks_a_file, feature_rows
from angelia.audience.bitmaps.blobs import BitmapRow
from angelia.audience.bitmaps.sets import positions_of
from angelia.contracts import arrow, dataset

BITS = 6


@pytest.mark.parametrize(
    ("people", "shard_bits", "bits"),
    [
        (0, 14, 16),
        (16 << 16, 14, 16),
        ((16 << 16) + 1, 14, 17),
        (16 << 23, 14, 23),
        (1 << 32, 14, 23),
        (0, 18, 18),
    ],
)
def test_a_block_is_a_sixteenth_of_the_people_within_bounds(people: int, shard_bits: int, bits: int) -> None:
    assert block_bits_for(people, shard_bits) == bits


def test_few_blocks_have_a_file_each() -> None:
    assert [blocks_a_file(n) for n in (1, BLOCKS, 2 * BLOCKS, 100 * BLOCKS)] == [1, 1, 2, 4]


def sets_of(rows: list[BitmapRow]) -> dict[tuple[str, str, str | None], list[int]]:
    """Return (field, kind, value) -> positions, of rows that hold sets."""
    return {
        (row.field, row.kind, row.value): positions_of(row.content).tolist()
        for row in rows
        if not isinstance(row.content, tuple) and row.bit is None
    }


def rows_of(w: ModuleType, *facts: dict[str, object]) -> tuple[list[BitmapRow], int, int]:
    people = [w.person((1 << BITS) + i, **fact) for i, fact in enumerate(facts)]
    table = pa.Table.from_pylist(people, schema=arrow.schema(dataset("user_features")))
    return feature_rows(1, BITS, table.select)


def test_a_value_has_its_people_and_unknown_ones_are_in_none(spec_world: ModuleType) -> None:
    rows, n, n_nan = rows_of(spec_world, {"gender": "f"}, {"gender": None}, {"gender": "m"}, {"gender": "f"})
    sets = sets_of(rows)
    assert (n, n_nan) == (4, 0)
    assert sets["user", "known", None] == [0, 1, 2, 3]
    assert sets["gender", "known", None] == [0, 2, 3]
    assert sets["gender", "value", "f"] == [0, 3]


def test_nan_is_unknown_and_counted(spec_world: ModuleType) -> None:
    rows, _, n_nan = rows_of(spec_world, {"value_28d": 1.0}, {"value_28d": math.nan}, {"value_28d": 0.0})
    assert n_nan == 1
    assert sets_of(rows)["value_28d", "known", None] == [0, 2]


def test_suppressed_people_keep_refusals_and_are_unreachable(spec_world: ModuleType) -> None:
    facts = {"channels": ["fcm", "sms"], "opted_out_topics": ["promo"]}
    sets = sets_of(rows_of(spec_world, facts | {"is_suppressed": True}, facts)[0])
    assert sets["reachable", "value", "fcm"] == [1]
    assert sets["reachable", "value", "sms"] == [1]
    assert sets["opted_out", "value", "promo"] == [0, 1]


@pytest.mark.parametrize("bits", [BITS, 16], ids=["common", "few"])
def test_gaps_and_any_order_of_rows_give_the_same_sets(bits: int) -> None:
    ordinals = np.array([5, 1, 9], np.uint32)
    people = BlockPeople(0, bits, pa.array(ordinals))
    people.add_texts("city", pa.array(["a", "b", "a"]))
    assert sets_of(people.rows) == {
        ("user", "known", None): [1, 5, 9],
        ("city", "value", "a"): [5, 9],
        ("city", "value", "b"): [1],
    }

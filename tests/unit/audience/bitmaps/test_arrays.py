"""Arrays as bytes, and what is stored in them: levels of fractions, amounts, rare items."""

from __future__ import annotations

import random
from types import ModuleType

import numpy as np
import pytest

from angelia.audience.bitmaps.arrays import decode, encode, narrow
from angelia.audience.bitmaps.block import Block
from angelia.audience.bitmaps.daily import find_item
from angelia.audience.query import AudienceQuery
from angelia.lake import Lake


def test_there_and_back() -> None:
    arrays = [
        np.array([1.5, -0.0]),
        np.array([], np.uint32),
        np.arange(5, dtype=np.uint16),
        np.array([-(2**62)]),
        np.frombuffer(b"text", np.uint8),
    ]
    data = np.frombuffer(b"x" + encode(*arrays), np.uint8)[1:]  # it may stand anywhere in a file
    for before, after in zip(arrays, decode(data), strict=True):
        assert before.dtype == after.dtype
        assert before.tolist() == after.tolist()


@pytest.mark.parametrize("cut", [0, 7, 20, 60, -1])
def test_what_is_no_arrays_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(np.frombuffer(encode(np.arange(5), np.arange(4))[:cut] or b"\xff" * 64, np.uint8))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([], "u1"),
        ([255], "u1"),
        ([256], "u2"),
        ([-1, 127], "i1"),
        ([-1, 200], "i2"),
        ([-1, 2**32], "i8"),
        ([2**31], "u4"),
        ([2**40], "i8"),
    ],
)
def test_the_narrowest_type_that_holds_them(values: list[int], kind: str) -> None:
    narrowed = narrow(np.array(values, np.int64))
    assert narrowed.dtype == np.dtype(kind)
    assert narrowed.tolist() == values


@pytest.mark.parametrize("distinct", [40, 100_000])
def test_fractions_compare_exactly_by_levels_and_by_bits(
    lake: Lake, spec_world: ModuleType, distinct: int
) -> None:
    rng = random.Random(distinct)
    values = [rng.choice([-1, 1]) * rng.randrange(distinct) / 7 for _ in range(400)]
    spec_world.write_index(
        lake,
        spec_world.World([spec_world.person(i, value_28d=value) for i, value in enumerate(values)]),
        block_bits=9,
    )
    audience = AudienceQuery(lake, spec_world.DS, resident=True)
    assert (Block(audience.index, 0).levels("value_28d") is not None) == (distinct == 40)
    targets = [*rng.sample(values, 8), 0.0, -0.0, 1e9, -1e9, values[0] + 1e-9]
    for target in targets:
        for op, holds in (
            ("=", float.__eq__),
            ("<", float.__lt__),
            ("<=", float.__le__),
            (">", float.__gt__),
            (">=", float.__ge__),
        ):
            assert audience.count(f"value_28d {op} {target!r}") == sum(
                holds(value, target) for value in values
            ), (op, target)


def test_rare_items_and_amounts_below_nought(lake: Lake, spec_world: ModuleType) -> None:
    w = spec_world
    names = ["é", "e", "ee", "", "z" * 40, "o'clock"]
    days = [w.did(i, 0, "view", name, n=i + 1) for i, name in enumerate(names)] + [
        w.did(i, 0, "view", "common") for i in range(10, 30)
    ]
    days += [
        w.did(1, 0, "refund", None, value=-5e9),
        w.did(2, 0, "refund", None, value=0.000001),
        w.did(3, 0, "refund", None, value=7e9),
    ]
    w.write_index(lake, w.World([w.person(i) for i in range(40)], days), block_bits=6)
    audience = AudienceQuery(lake, w.DS)
    arrays = Block(audience.index, 0)._arrays("event:view", "items", w.DS)[0]
    for i, name in enumerate(names):
        assert [found.tolist() for found in find_item(arrays, name)] == [[i], [i + 1]]
    assert [len(found) for found in find_item(arrays, "common")] == [0, 0]
    assert audience.count("count_events('view', 'common', 1) >= 1") == 20
    assert [
        ordinal for found in audience.all_members("count_events('view', 'ee', 1) = 3") for ordinal in found
    ] == [2]
    for text, n in (
        ("< 0", 1),
        ("= -5000000000", 1),
        ("> 0", 2),
        ("= 0.000001", 1),
        (">= 7000000000", 1),
        ("= 0", 37),
    ):
        assert audience.count(f"sum_events('refund', field='value', 1) {text}") == n, text

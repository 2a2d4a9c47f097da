"""Bit-sliced numbers compare and add like numbers."""

from __future__ import annotations

import operator
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angelia.audience.bitmaps.sets import Set, intersect, of_positions, positions_of
from angelia.audience.bitmaps.slices import add, compare, real_key, real_keys, slice_numbers, whole

OPS = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
INT64 = st.integers(-(2**63), 2**63 - 1)


WIDTH = 128


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    numbers=st.lists(INT64 | st.integers(-5, 5), min_size=1, max_size=40),
    target=INT64 | st.integers(-7, 7),
    op=st.sampled_from(sorted(OPS)),
)
def test_compare_is_comparison(numbers: list[int], target: int, op: str) -> None:
    positions = np.arange(len(numbers)) * 3
    offset, slices = slice_numbers(positions, np.array(numbers, dtype=np.int64), WIDTH)
    parts = compare(slices, op, target - offset, WIDTH)
    known = of_positions(positions, WIDTH)
    chosen = [] if parts is None else positions_of(intersect([known, *parts[0]], parts[1], WIDTH)).tolist()
    assert chosen == [3 * i for i, number in enumerate(numbers) if OPS[op](number, target)]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=20))
def test_float_keys_order_like_floats(values: list[float]) -> None:
    keys = real_keys(np.array(values)).tolist()
    for (a, key_a), (b, key_b) in zip(
        zip(values, keys, strict=True), list(zip(values, keys, strict=True))[1:], strict=False
    ):
        assert (a < b, a == b) == (key_a < key_b, key_a == key_b)


def test_minus_zero_is_zero() -> None:
    assert struct.pack("d", -0.0) != struct.pack("d", 0.0)
    assert real_key(-0.0) == real_key(0.0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    left=st.dictionaries(st.integers(0, 30), st.integers(1, 1000)),
    right=st.dictionaries(st.integers(0, 30), st.integers(1, 1000)),
)
def test_add_is_addition(left: dict[int, int], right: dict[int, int]) -> None:
    def sliced(numbers: dict[int, int]) -> list[Set]:
        return [
            of_positions(np.array([who for who, n in numbers.items() if n >> bit & 1], np.int64), WIDTH)
            for bit in range(10)
        ]

    total = [set(positions_of(part).tolist()) for part in add(sliced(left), sliced(right), WIDTH)]
    for who in range(31):
        assert sum(1 << bit for bit, people in enumerate(total) if who in people) == left.get(
            who, 0
        ) + right.get(who, 0)


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("<", 2.5, ("<=", 2)),
        ("<=", 2.5, ("<=", 2)),
        (">", 2.5, (">=", 3)),
        (">=", -2.5, (">=", -2)),
        ("=", 2.5, ("=", None)),
        ("=", 2.0, ("=", 2)),
    ],
)
def test_comparing_whole_numbers_with_fractions(
    op: str, value: float, expected: tuple[str, int | None]
) -> None:
    assert whole(op, value) == expected

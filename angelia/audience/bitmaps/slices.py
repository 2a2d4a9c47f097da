"""Numbers as bit slices: slice k holds the people whose number has bit k set.

A comparison costs one set operation a slice. Source: O'Neil, Quass: Improved query performance with variant
indexes, SIGMOD 1997 (bit-sliced indexes; there from the highest bit down, here from the lowest up, which
needs no set of those equal so far); the sum of daily counts is a ripple-carry adder over slices (Rinfret,
O'Neil, O'Neil: Bit-sliced index arithmetic, SIGMOD 2001).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from angelia.audience.bitmaps.sets import SPARSE, Set, exclusive, intersect, of_positions, of_words, union

I64 = npt.NDArray[np.int64]


def real_keys(values: npt.NDArray[np.float64]) -> I64:
    """Return int64 keys that order like the floats, bit for bit; none may be NaN.

    -0.0 and 0.0 get the same key.
    """
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(0x7FFFFFFFFFFFFFFF), bits)


def real_key(value: float) -> int:
    """Return the key of one float."""
    return int(real_keys(np.array([value]))[0])


def slice_numbers(
    positions: npt.NDArray[np.generic], keys: npt.NDArray[np.integer], width: int
) -> tuple[int, list[Set]]:
    """Return (offset, slices, lowest bit first) of one integer per position.

    Slices hold key - offset. Shapes (n,), n >= 1.
    """
    offset = int(keys.min())
    # Modulo 2^64, so any span of int64 fits.
    rest = keys.astype(np.uint64) - np.uint64(offset & 0xFFFFFFFFFFFFFFFF)
    bits = int(rest.max()).bit_length()
    narrow = rest.astype(np.min_scalar_type((1 << bits) - 1))
    if len(narrow) < SPARSE * width:
        return offset, [
            of_positions(positions[(narrow >> bit & 1).astype(bool)], width) for bit in range(bits)
        ]
    whole_width = np.zeros(max(64, width), narrow.dtype)  # scattered once, then each bit is a plain pass
    whole_width[positions] = narrow
    planes = (
        whole_width.astype(whole_width.dtype.newbyteorder("<"), copy=False)
        .view(np.uint8)
        .reshape(len(whole_width), -1)
    )
    return offset, [
        of_words(np.packbits(planes[:, bit >> 3] & np.uint8(1 << (bit & 7)), bitorder="little"))
        for bit in range(bits)
    ]


def whole(op: str, value: float | Decimal) -> tuple[str, int | None]:
    """Return a comparison of integers with `value` as one with an integer.

    None if no integer can be equal.
    """
    if value == math.floor(value):
        return op, int(value)
    if op == "=":
        return op, None
    return ("<=", math.floor(value)) if op in ("<", "<=") else (">=", math.ceil(value))


def add(left: Sequence[Set], right: Sequence[Set], width: int) -> list[Set]:
    """Return the slices of the sum of two sliced numbers (absent people count 0)."""
    total: list[Set] = []
    carry: Set | None = None
    for bit in range(max(len(left), len(right))):
        here = [number[bit] for number in (left, right) if bit < len(number)]
        if len(here) == 1 and carry is None:
            total.append(here[0])
        elif len(here) == 1:
            assert carry is not None
            total.append(exclusive(here[0], carry, width))
            carry = intersect([here[0], carry], [], width)
        else:
            both, half = intersect(here, [], width), exclusive(here[0], here[1], width)
            total.append(half if carry is None else exclusive(half, carry, width))
            carry = both if carry is None else union([both, intersect([half, carry], [], width)], width)
    if carry is not None and len(carry):
        total.append(carry)
    return total


def compare(slices: Sequence[Set], op: str, target: int, width: int) -> tuple[list[Set], list[Set]] | None:
    """Return (sets to intersect, sets to take away) that leave those for whom `op` holds.

    `op` is one of = < <= > >=, among the people whose number is known. `target` is already less the offset;
    None means no one. One operation a slice, from the lowest that matters: of the people whose lower bits are
    at least the target's, a 1 in the target keeps those who have the bit, a 0 adds those who have it.
    """
    if target < 0:
        return ([], []) if op in (">", ">=") else None
    if target >> len(slices):
        return ([], []) if op in ("<", "<=") else None
    if op == "=":
        return [with_bit for bit, with_bit in enumerate(slices) if target >> bit & 1], [
            with_bit for bit, with_bit in enumerate(slices) if not target >> bit & 1
        ]
    at_least: Set | None = None
    everyone = op in (">=", "<")  # equal lower bits count
    for bit, with_bit in enumerate(slices):
        if target >> bit & 1:
            if not everyone:
                at_least = None if at_least is None else intersect([with_bit, at_least], [], width)
            else:
                at_least, everyone = with_bit, False
        elif not everyone:
            at_least = with_bit if at_least is None else union([with_bit, at_least], width)
    if everyone:
        return ([], []) if op == ">=" else None
    if op in (">", ">="):
        return None if at_least is None else ([at_least], [])
    return [], [] if at_least is None else [at_least]

"""Numbers as bit slices: slice k holds the people whose number has bit k set; comparing is a walk from the highest bit down.

Source: O'Neil, Quass: Improved query performance with variant indexes, SIGMOD 1997 (bit-sliced indexes, algorithms 4.2 and 4.3);
the sum of daily counts is a ripple-carry adder over slices (Rinfret, O'Neil, O'Neil: Bit-sliced index arithmetic, SIGMOD 2001).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]


def bitmap_of(ordinals: npt.NDArray[np.generic]) -> BitMap:
    """Return the bitmap of an array of ordinals (any order, repeats allowed), shape (n,)."""
    # array('I') has a fast path in pyroaring: 0.4 ms against 3.8 ms for a NumPy array of 87,000.
    return BitMap(array("I", np.ascontiguousarray(ordinals, dtype=np.uint32).tobytes()))


def ordinals_of(bitmap: BitMap) -> U32:
    """Return the members in ascending order, shape (n,)."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


def real_keys(values: npt.NDArray[np.float64]) -> I64:
    """Return int64 keys that order like the floats, bit for bit (-0.0 and 0.0 are one number); values must not be NaN."""
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(0x7FFFFFFFFFFFFFFF), bits)


def real_key(value: float) -> int:
    """Return the key of one float."""
    return int(real_keys(np.array([value]))[0])


def slice_numbers(ordinals: npt.NDArray[np.generic], keys: I64) -> tuple[int, list[BitMap]]:
    """Return (offset, slices, lowest bit first) of one integer per ordinal; slices hold key - offset. Shapes (n,), n >= 1."""
    offset = int(keys.min())
    rest = keys.astype(np.uint64) - np.uint64(offset & 0xFFFFFFFFFFFFFFFF)  # modulo 2^64: any span of int64 fits
    width = int(rest.max()).bit_length()
    return offset, [bitmap_of(ordinals[((rest >> np.uint64(bit)) & np.uint64(1)).astype(bool)]) for bit in range(width)]


def whole(op: str, value: float) -> tuple[str, int | None]:
    """Return the comparison of an integer with `value` as one with an integer; None if no integer can be equal."""
    if float(value).is_integer():
        return op, int(value)
    if op == "=":
        return op, None
    return ("<=", math.floor(value)) if op in ("<", "<=") else (">=", math.ceil(value))


def compare(known: BitMap, slices: Sequence[BitMap], op: str, target: int) -> BitMap:
    """Return the members of `known` whose number stands in relation `op` (= < <= > >=) to `target` (already less the offset)."""
    if target < 0:
        return known if op in (">", ">=") else BitMap()
    if target >> len(slices):
        return known if op in ("<", "<=") else BitMap()
    less, equal = BitMap(), known
    for bit in range(len(slices) - 1, -1, -1):
        if target >> bit & 1:
            if op != "=":
                less |= equal - slices[bit]
            equal = equal & slices[bit]
        else:
            equal = equal - slices[bit]
    if op == "=":
        return equal
    if op == "<":
        return less
    if op == "<=":
        return less | equal
    return known - less if op == ">=" else known - (less | equal)


def add(left: Sequence[BitMap], right: Sequence[BitMap]) -> list[BitMap]:
    """Return the slices of the sum of two sliced numbers (absent people count 0)."""
    total: list[BitMap] = []
    carry = BitMap()
    for bit in range(max(len(left), len(right))):
        a = left[bit] if bit < len(left) else BitMap()
        b = right[bit] if bit < len(right) else BitMap()
        both = a ^ b
        total.append(both ^ carry)
        carry = (a & b) | (both & carry)
    if carry:
        total.append(carry)
    return total

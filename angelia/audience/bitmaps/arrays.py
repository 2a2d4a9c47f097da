"""Several arrays of numbers as one value of a bitmap column, usable in place.

They hold counts, amounts or levels. Bytes: how many arrays (8 bytes); for each its NumPy type (8 bytes of
ASCII, padded with blanks) and its length (8 bytes); then the arrays, each padded to a multiple of 8. All
numbers are little-endian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


def encode(*arrays: Numbers) -> bytes:
    """Return one-dimensional arrays as bytes."""
    parts = [len(arrays).to_bytes(8, "little")]
    for values in arrays:
        parts.append(values.dtype.newbyteorder("<").str.ljust(8).encode() + len(values).to_bytes(8, "little"))
    for values in arrays:
        data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        parts.append(data + bytes(-len(data) % 8))
    return b"".join(parts)


def decode(data: npt.NDArray[np.uint8]) -> list[Numbers]:
    """Return the arrays, as views of the bytes (shape (n,)).

    Raises:
        ValueError: these bytes do not hold arrays.
    """
    n = int.from_bytes(data[:8].tobytes(), "little")
    at, arrays = 8 + 16 * n, []
    if at > len(data):
        raise ValueError("cut short")
    for i in range(n):
        head = data[8 + 16 * i : 24 + 16 * i].tobytes()
        try:
            dtype, length = np.dtype(head[:8].decode().strip()), int.from_bytes(head[8:], "little")
        except (UnicodeDecodeError, TypeError) as error:
            raise ValueError(str(error)) from None
        size = dtype.itemsize * length
        if at + size > len(data):
            raise ValueError("cut short")
        arrays.append(np.frombuffer(data[at : at + size], dtype))
        at += size + -size % 8
    return arrays


def narrow(values: npt.NDArray[np.int64]) -> Numbers:
    """Return whole numbers in the narrowest type that holds them all."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    kinds = (np.uint8, np.uint16, np.uint32) if low >= 0 else (np.int8, np.int16, np.int32)
    kind = next(
        (kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max), np.int64
    )
    return values.astype(kind)

"""Arrow columns as NumPy arrays, and back.

Not `to_numpy`, `pa.array` or `fill_null`: they import pandas, which takes 0.8 s that a count cannot spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from angelia.errors import AngeliaError

Flags = npt.NDArray[np.bool_]


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of numbers as an array, shape (n,); entries for nulls are arbitrary."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    dtype = np.dtype(column.type.to_pandas_dtype())
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.zeros(0, dtype)


def valid(column: pa.Array) -> Flags:
    """Return where a column is not null, shape (n,)."""
    bits = column.buffers()[0]
    return _bits(bits, column) if column.null_count and bits is not None else np.ones(len(column), dtype=bool)


def true(column: pa.Array) -> Flags:
    """Return where a flag is true (null is not), shape (n,)."""
    return _bits(column.buffers()[1], column) & valid(column) if len(column) else np.zeros(0, dtype=bool)


def of_mask(flags: Flags) -> pa.BooleanArray:
    """Return flags as an Arrow array, for `filter`."""
    return pa.Array.from_buffers(
        pa.bool_(), len(flags), [None, pa.py_buffer(np.packbits(flags, bitorder="little"))]
    )


def of_reals(values: npt.NDArray[np.float64]) -> pa.DoubleArray:
    """Return fractions as an Arrow array."""
    return pa.Array.from_buffers(
        pa.float64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
    )


def of_numbers(values: Sequence[int | None], kind: pa.DataType) -> pa.Array:
    """Return whole numbers, or none, as an Arrow array."""
    data = np.array([value or 0 for value in values], np.dtype(kind.to_pandas_dtype()))
    return pa.Array.from_buffers(kind, len(data), [_validity(values), pa.py_buffer(data)])


def of_binary(values: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    """Return byte strings, or none, as an Arrow array of texts or bytes.

    Raises:
        AngeliaError: they are more than 2 GiB in all, which its offsets cannot hold.
    """
    ends = np.cumsum([0, *(len(value or b"") for value in values)])
    if ends[-1] >= 1 << 31:
        raise AngeliaError(
            f"{int(ends[-1]):,} bytes of sets do not fit into one file",
            fix="make blocks smaller: lower ANGELIA_SHARD_BITS",
        )
    buffers = [
        _validity(values),
        pa.py_buffer(ends.astype(np.int32)),
        pa.py_buffer(b"".join(value or b"" for value in values)),
    ]
    return pa.Array.from_buffers(kind, len(values), buffers)


def texts(column: pa.ChunkedArray | pa.Array) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct texts of a column, and each row's place among them, shape (n,).

    The column may be a dictionary; a null gets the number of texts as its place.
    """
    whole = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    whole = (whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()).unify_dictionaries()
    if not len(whole):
        return [], np.zeros(0, np.int64)
    names = whole.chunk(0).dictionary.to_pylist()
    codes = numbers(pa.chunked_array([part.indices for part in whole.chunks])).astype(np.int64)
    if whole.null_count:
        codes[~np.concatenate([valid(part.indices) for part in whole.chunks])] = len(names)
    return names, codes


def _validity(values: Sequence[object]) -> pa.Buffer | None:
    known = np.array([value is not None for value in values], dtype=bool)
    return None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))


def _bits(buffer: pa.Buffer, column: pa.Array) -> Flags:
    bits = np.unpackbits(
        np.frombuffer(buffer, np.uint8), bitorder="little", count=column.offset + len(column)
    )
    return bits[column.offset :].view(bool)

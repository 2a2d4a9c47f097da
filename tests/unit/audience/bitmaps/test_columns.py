"""Arrow columns as arrays and back: slices, nulls, dictionaries, and what does not fit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from angelia.audience.bitmaps import columns
from angelia.errors import AngeliaError


def test_numbers_of_a_slice_begin_where_it_does() -> None:
    column = pa.array(range(20), pa.int16())
    assert columns.numbers(column.slice(3, 4)).tolist() == [3, 4, 5, 6]
    chunked = pa.chunked_array([column.slice(0, 2), column.slice(5, 0), column.slice(18)])
    assert columns.numbers(chunked).tolist() == [0, 1, 18, 19]
    assert columns.numbers(pa.chunked_array([], pa.int16())).dtype == np.int16


def test_flags_of_a_slice_do_not_begin_at_a_byte() -> None:
    column = pa.array([None, True, False, True, None, True, False, False, None, True, True])
    for start in range(len(column)):
        part = column.slice(start)
        assert columns.valid(part).tolist() == [value is not None for value in part.to_pylist()]
        assert columns.true(part).tolist() == [value is True for value in part.to_pylist()]
    assert columns.valid(pa.array([1, 2])).all()
    assert columns.true(column.slice(0, 0)).tolist() == []


def test_arrays_become_columns() -> None:
    flags = np.array([True, False] * 9)
    assert columns.of_mask(flags).to_pylist() == flags.tolist()
    assert columns.of_reals(np.arange(6.0)[::2]).to_pylist() == [0.0, 2.0, 4.0]
    assert columns.of_numbers([3, None, -1], pa.int64()).to_pylist() == [3, None, -1]
    assert columns.of_binary([b"a", None, b""], pa.binary()).to_pylist() == [b"a", None, b""]


def test_texts_of_any_chunks_are_numbered_alike() -> None:
    plain = pa.chunked_array([["b", None], ["a", "b"]])
    apart = pa.chunked_array([chunk.dictionary_encode() for chunk in plain.chunks])
    for column in (plain, plain.dictionary_encode(), apart, plain.combine_chunks()):
        names, codes = columns.texts(column)
        assert [names[code] if code < len(names) else None for code in codes] == ["b", None, "a", "b"]
    assert columns.texts(pa.array([], pa.string()))[0] == []


def test_more_bytes_than_offsets_can_hold_are_refused() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 30

    with pytest.raises(AngeliaError, match="do not fit into one file"):
        columns.of_binary([Huge(), Huge()], pa.binary())

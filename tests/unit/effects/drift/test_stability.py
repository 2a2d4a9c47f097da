"""Stability of features and scores: sums by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from angelia.effects.drift.stability import binned, psi


def chunked(values: list[Any], kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def test_the_index_by_hand() -> None:
    before, after = np.array([50, 50]), np.array([20, 80])
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.8 - 0.5) * math.log(0.8 / 0.5)
    assert psi(before, after) == pytest.approx(expected)
    assert psi(before, before * 7) == 0
    assert psi(np.array([10, 0]), np.array([5, 5])) == pytest.approx(
        (0.5 - 1) * math.log(0.5) + (0.5 - 0.05) * math.log(10)
    )
    assert psi(np.array([0, 0]), after) == 0


def test_numbers_fall_into_tenths_and_nulls_apart() -> None:
    before = chunked([float(i) for i in range(100)] + [None] * 5, pa.float64())
    first, second = binned(before, chunked([0.0, 1e9, None], pa.float64()))
    assert first.tolist() == [10] * 10 + [5]
    assert second.tolist() == [1, *[0] * 8, 1, 1]
    mostly = chunked([0] * 95 + [1] * 5, pa.int32())
    assert binned(mostly, mostly)[0].tolist() == [95, 5, 0]


def test_new_and_rare_values_are_one_bin() -> None:
    before = chunked([c for i, c in enumerate("abcdefghijklmnopqrstuv") for _ in range(30 - i)], pa.string())
    first, second = binned(before, chunked(["a", "u", "new", None], pa.string()))
    assert (len(first), first[20], first[21]) == (22, 10 + 9, 0)  # u and v are the rest
    assert (second[0], second[20], second[21]) == (1, 2, 1)

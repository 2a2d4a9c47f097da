"""Stability of features and scores: sums by hand, and two nights of a lake."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.effects.drift.stability import binned, psi
from angelia.lake import Lake
from tests.unit.effects.conftest import DS, put

NEXT = "2026-11-15"


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


@pytest.mark.usefixtures("settings_home")
def test_a_moved_column_raises_an_alarm(lake: Lake, capsys: Any) -> None:
    rows = valid_rows("user_features", 500, ds=DS)
    put(lake, "user_features", rows, ds=DS)
    at = rows.schema.get_field_index("country")
    moved = rows.set_column(at, rows.schema.field(at), pa.nulls(500, pa.string()))
    put(lake, "user_features", moved, ds=NEXT)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", "drift", "--ds", NEXT, "--against", DS, "--json"])
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert stopped.value.code == 2
    assert result["alarms"] == ["user_features.country"]
    assert {column["psi"] for column in result["columns"][1:]} == {0.0}
    assert "user_features.tags: a list" in result["left_out"]
    assert "material_scores: none of 2026-11-14" in result["left_out"]
    assert "user_features.country moved by 0.25 or more" in shown.err
    for words, says in (
        (["--ds", "2020-01-01", "--against", DS], "there are no user_features of 2020-01-01"),
        (["--ds", NEXT, "--against", DS, "--alarm", "0.01"], "--alarm is below --look"),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["effects", "drift", *words])
        assert stopped.value.code == 2
        assert says in capsys.readouterr().err

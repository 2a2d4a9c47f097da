"""A partition without rows closes the gate where its contract asks for some."""

from __future__ import annotations

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from tests.unit.quality.test_gates import SOURCES, N, closed, put


def test_profiles_without_rows_close_the_gate(lake: Lake) -> None:
    for name in SOURCES:
        put(lake, name, valid_rows(name, N).slice(0, 0 if name == "user_profiles" else N))
    line = closed(lake, "sources")
    assert "user_profiles" in line
    assert "fewer than 1 rows" in line

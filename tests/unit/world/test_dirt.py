"""Dirt: an exact share of rows is spoiled, each kind apart from the others."""

from __future__ import annotations

from angelia.lake import Lake
from angelia.quality.gates import measure

DS = "2026-11-14"


def test_some_rows_are_dirty(world_lake: Lake) -> None:
    profiles = measure(world_lake, "user_profiles", DS).n_bad
    assert profiles["timezone.max_null"] == 24  # 0.8 % of 3,000
    assert profiles["timezone.rule"] == 4
    assert profiles["key.unique"]
    assert profiles["birth_year.range"]
    assert profiles["user_id.not_null"]
    assert measure(world_lake, "user_events", DS).n_bad["key.unique"]

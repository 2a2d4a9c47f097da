"""What came of a run is counted by part and by row, and nothing twice."""

from __future__ import annotations

from collections import Counter

import pytest

from angelia.delivery.worker.options import RunResult
from angelia.errors import Corrupt


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ("done", {"parts": 1}),
        ("busy", {"busy_parts": 1}),
        ("waiting", {"waiting_parts": 1}),
        ("unfinished", {"unfinished_parts": 1}),
        ("taken_over", {"unfinished_parts": 1}),
    ],
)
def test_a_part_is_counted_by_how_it_ended(how: str, counted: dict[str, int]) -> None:
    result, none = RunResult(), RunResult().to_json()
    result.end(how)
    assert result.to_json() == {**none, **counted}


def test_a_row_that_improves_is_delivered_by_this_run() -> None:
    result = RunResult(already_delivered=10)
    result.count(Counter(accepted=7, deferred=3), Counter(accepted=9, deferred=1, rejected=2))
    assert (result.delivered, result.already_delivered) == ({"accepted": 2, "deferred": -2, "rejected": 2}, 8)
    assert result.to_json()["delivered"] == {"accepted": 2, "rejected": 2}


def test_damage_is_named_once_and_counted_each_time() -> None:
    result = RunResult()
    for _ in range(2):
        result.damage(Corrupt("seals/x is damaged", fix="restore it"))
    assert (result.unfinished, [error.message for error in result.damaged]) == (2, ["seals/x is damaged"])

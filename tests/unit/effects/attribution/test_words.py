"""How complete a night's credit is, in words."""

from __future__ import annotations

from typing import Any

import pytest

from angelia.effects.attribution.words import completeness_line, gaps_line

OPEN = {
    "is_final": False,
    "observed_until": "2026-11-16",
    "windows_passed_pct": 62.5,
    "last_arrival": "2026-11-20",
    "missing_days": [],
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"is_final": True}, "complete"),
        ({}, "62.5 % of its windows have passed; events may arrive until 2026-11-20"),
        ({"windows_passed_pct": None}, "0 % of its windows have passed; events may arrive until 2026-11-20"),
        ({"observed_until": None}, "no event has arrived yet; events may arrive until 2026-11-20"),
        (
            {"missing_days": ["2026-11-15", "2026-11-17"]},
            "62.5 % of its windows have passed; events may arrive until 2026-11-20; "
            "no events of 2026-11-15, 2026-11-17",
        ),
    ],
)
def test_completeness_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    assert completeness_line(OPEN | changes) == says


@pytest.mark.parametrize(
    ("missing", "unplanned", "says"),
    [
        ([], [], ""),
        (["2026-11-13"], [], "1 night planned without a mart"),
        ([], ["2026-11-12", "2026-11-13"], "2 days without a plan"),
        (
            ["2026-11-13", "2026-11-14"],
            ["2026-11-12"],
            "2 nights planned without a mart, 1 day without a plan",
        ),
    ],
)
def test_a_day_without_figures_says_why(missing: list[str], unplanned: list[str], says: str) -> None:
    assert gaps_line(missing, unplanned) == says

"""Squares of the report: the planted verdicts, and where each leads."""

from __future__ import annotations

import re

from angelia.lake import Lake, numbered
from angelia.quality.history import gather
from angelia.quality.report import render
from tests.unit.quality.week import LAST, squares


def test_each_day_of_each_dataset_is_a_square(week: Lake) -> None:
    assert squares(render(gather(week, LAST, 28))) == {
        "user_events": ["10 passed", "11 warning", "13 check crashed", "14 failed"],
        "decisions": ["14 passed"],
        "guard": ["13 campaigns held back", "14 crashed"],
    }


def test_squares_that_need_a_look_lead_to_what_is_said_of_them(week: Lake) -> None:
    page = render(gather(week, LAST, 28))
    targets = re.findall(r'<a href="#([^"]+)">', page)
    assert set(targets) == {"sources-user_events", "guard"}
    assert all(f'id="{target}"' in page for target in targets)
    look = page[page.index("What needs a look") : page.index("Row counts")]
    assert "user_events.user_id</b>: null in 300 of 1,000 rows (30 %, at most 1 % allowed)" in look
    assert "the check could not run: the data may be good or bad" in look
    assert "10 messages of &lt;sale&gt; planned" in look
    assert look.index("user_events.user_id") < look.index("could not run") < look.index("campaigns held back")


def test_missing_campaigns_need_a_look(week: Lake) -> None:
    breach = {
        "check": "volume",
        "severity": "campaign",
        "campaigns": ["sale"],
        "says": "0 messages of sale planned, 20 is usual",
    }
    figures = {"messages": {"digest": 32}, "unknown_timezones_pct": 1.25}
    numbered.store(
        week,
        "guard",
        LAST,
        {"verdict": "missing", "held": [], "missing": ["sale"], "breaches": [breach], "figures": figures},
    )
    page = render(gather(week, LAST, 28))
    assert squares(page)["guard"] == ["13 campaigns held back", "14 campaigns missing"]
    look = page[page.index("What needs a look") : page.index("Row counts")]
    assert (
        '<span class="verdict warn">campaigns missing</span> 0 messages of sale planned, 20 is usual' in look
    )
    tiles = page[: page.index("What needs a look")]
    assert re.search(r"campaigns missing</span>.*?says the guard of the plan.*?sale", tiles, re.DOTALL)

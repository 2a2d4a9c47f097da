"""The heat map of planned send times: a cell is the mean over the plans that cover it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from angelia.effects.hours import mean_messages
from angelia.effects.sources import PLANS_DAYS, find_sources
from angelia.lake import Lake

SATURDAY, SUNDAY = 5, 6


class Plan:
    """A plan as far as the heat map reads it: its start, and its messages by hour."""

    def __init__(self, start: str, messages: dict[str, int], **more: Any) -> None:
        cells = [
            {"slot": slot, "channel": "fcm", "campaign_id": "sale", "n": n} for slot, n in messages.items()
        ]
        self.meta = {"start": start, "messages": cells, **more}


def test_a_cell_is_the_mean_over_the_plans_that_cover_it() -> None:
    plans = [
        Plan("2026-11-15T04:00:00+00:00", {"2026-11-15T09": 10, "2026-11-16T03": 7}),
        Plan("2026-11-22T04:00:00+00:00", {"2026-11-22T09": 20}),
    ]
    means = mean_messages(plans)  # type: ignore[arg-type]
    assert (means[SUNDAY, 9], means[SUNDAY, 4], means[0, 3]) == (15.0, 0.0, 3.5)
    assert len(means) == 24  # Sunday from four on, Monday before four
    assert (SUNDAY, 3) not in means
    assert (SATURDAY, 9) not in means


def test_a_plan_without_its_messages_counts_for_nothing() -> None:
    plan = Plan("2026-11-15T04:00:00+00:00", {"2026-11-15T09": 10})
    older = Plan("2026-11-22T04:00:00+00:00", {})
    del older.meta["messages"]
    assert mean_messages([plan, older])[SUNDAY, 9] == 10.0  # type: ignore[list-item]


def test_the_plans_are_those_of_the_last_nights_and_are_cited(lake: Lake, night: Any) -> None:
    ours = lake.require("decisions", ds="2026-11-14")
    table = lake.read(ours).slice(0, 0)
    last = datetime(2026, 11, 14, tzinfo=UTC)
    days = [f"{last - timedelta(days=back):%Y-%m-%d}" for back in (-1, 1, PLANS_DAYS - 1, PLANS_DAYS)]
    for day in days:
        with lake.attempt("decisions", ds=day) as attempt:
            attempt.write(table, "part-0000.parquet")
            attempt.publish(meta=dict(ours.meta))
    sources = find_sources(lake, "2026-11-14", 28)
    assert [plan.partition["ds"] for plan in sources.plans] == [days[2], days[1], "2026-11-14"]
    assert {plan.citation() for plan in sources.plans} <= set(sources.refs())


@pytest.mark.usefixtures("settings_home")
def test_the_page_shows_the_busiest_hour(lake: Lake, night: Any) -> None:
    from tests.unit.effects.test_report import page_of

    means = mean_messages(find_sources(lake, "2026-11-14", 28).plans)
    (day, hour), most = max(means.items(), key=lambda item: item[1])
    page = page_of(lake)
    assert sum(means.values()) == len(night.manifest)
    assert (
        f"most on {('Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun')[day]} at {hour:02d}:00, {most:,.0f}"
        in page
    )
    assert page.count('class="h5"') >= 2  # the highest cell, wide and narrow

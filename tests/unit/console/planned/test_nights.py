"""Plans to look at and to compare: sides paired by name and hour, with prices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.asking.shown import ChannelHours, HourUse, PlanShown
from angelia.console.engine import Engine
from angelia.console.planned.nights import (
    ComparedRow,
    clock,
    heat_map,
    over_nights,
    paired,
    plan_of,
    planned,
    plans_of,
    price_chart,
    side_by_side,
)
from angelia.lake import Lake
from tests.unit.spark_jobs.test_plan_dispatch import BEFORE, DS


def channel(name: str, *used: int, capacity: int = 10, price: int = 0) -> ChannelHours:
    hours = tuple(
        HourUse(f"2026-11-15T{4 + k:02d}", n, capacity, price, n == capacity, {}) for k, n in enumerate(used)
    )
    return ChannelHours(name, hours, "says")


PLAN = PlanShown(
    commit="decisions/ds=2026-11-14@1",
    ds="2026-11-14",
    start="2026-11-15T04:00",
    hours_passed=0,
    outcomes={"sent": 7, "capped": 3},
    primal_micros=5_000_000,
    bound_micros=6_000_000,
    gap_pct=0.5,
    n_explore=1,
    by_campaign={"sale": 4, "news": 3},
    by_hour={},
    constraints=(),
    channels=(channel("fcm", 3, 4),),
    campaigns=(),
    contradictions=(),
    fatigue="",
)


def test_sides_are_paired_by_name_the_largest_first() -> None:
    rows = paired({"a": 1, "b": 5}, {"c": 9, "b": 2})
    assert [(row.name, row.a, row.b, row.change) for row in rows] == [
        ("c", 0, 9, 9),
        ("b", 5, 2, -3),
        ("a", 1, 0, -1),
    ]
    assert [row.name for row in paired({"z": 1, "y": 1}, {})] == ["y", "z"]


def test_two_plans_are_compared_in_figures_and_hours() -> None:
    other = replace(PLAN, by_campaign={"sale": 9}, channels=(channel("fcm", 1, 1, 7), channel("sms", 0, 0)))
    sides = side_by_side(PLAN, other, ("main", "replay"))
    assert sides.total[0] == ComparedRow("messages", 7, 9)
    # Only plans that both counted them are compared by materials that were tried.
    counted = side_by_side(replace(PLAN, n_tried=2), replace(other, n_tried=3), ("main", "replay")).total
    tried = ComparedRow("messages with a material to learn about", 2, 3)
    assert counted == [*sides.total[:2], tried, *sides.total[2:]]
    assert [(row.name, row.change) for row in sides.campaigns] == [("sale", 5), ("news", -3)]
    assert sides.channels == [ComparedRow("fcm", 7, 9), ComparedRow("sms", 0, 0)]
    (fcm,) = sides.hours
    assert fcm.channel == "fcm", "a channel that sends nothing on either side has no chart"
    assert fcm.prices == ""
    priced = side_by_side(PLAN, replace(PLAN, channels=(channel("fcm", 1, price=5),)), ("main", "replay"))
    assert "price of an hour" in priced.hours[0].prices


def test_charts_are_left_out_where_they_would_say_nothing() -> None:
    assert price_chart(channel("fcm", 3)) == ""
    assert "price of an hour" in price_chart(channel("fcm", 3, price=1))
    assert heat_map(replace(PLAN, channels=(channel("fcm", 0, capacity=0),))) == ""
    assert "30" in heat_map(PLAN)
    assert over_nights([PLAN]) == ""
    assert "news" in over_nights([PLAN, replace(PLAN, by_campaign={"sale": 1})])
    assert clock("2026-11-15T04:00") == "04"


def test_a_plan_is_read_once_and_an_older_one_is_named(tight_home) -> None:
    lake, engine = Lake.open(str(tight_home / "lake")), Engine()
    assert planned(lake)[0] == DS
    assert plan_of(engine, lake, DS) is plan_of(engine, Lake(lake.store), DS)
    plans, without = plans_of(engine, lake, [BEFORE, DS])
    assert ([plan.ds for plan in plans], without) == ([DS], [BEFORE])


@pytest.mark.parametrize("n", [20])
def test_no_more_nights_are_offered_than_a_page_holds(lake: Lake, n: int) -> None:
    for day in range(1, n + 1):
        with lake.attempt("decisions", ds=f"2026-10-{day:02d}") as attempt:
            attempt.publish()
    assert planned(lake) == [f"2026-10-{day:02d}" for day in range(n, n - 14, -1)]

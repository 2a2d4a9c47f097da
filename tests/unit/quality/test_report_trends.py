"""Lines of the report: rows, rejects and limits by day, broken where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelia.contracts.rows import valid_rows
from angelia.lake import Lake
from angelia.quality.history import gather
from angelia.quality.report import render
from tests.unit.quality.week import LAST, NULLS, keep, svgs


def test_lines_break_where_nothing_was_measured(week: Lake) -> None:
    page = render(gather(week, LAST, 5))
    drawing = svgs(page, "Null shares")
    titles = [title.text for rect in drawing.iter("rect") for title in rect.iter("title")]
    assert titles == [
        f"user_events.user_id, {day} Nov: {value} %"
        for day, value in ((10, "0.500"), (11, "0.500"), (13, "0.500"), (14, "30.000"))
    ]
    assert len(list(drawing.iter("polyline"))) == 2
    assert drawing.find("circle[@class='dot down']") is not None


def test_the_limit_is_drawn_where_it_is_near(lake: Lake) -> None:
    keep(lake, LAST, NULLS)
    drawing = svgs(render(gather(lake, LAST, 5)), "Null shares")
    (limit,) = [line for line in drawing.iter("line") if line.get("class") == "limit"]
    (dot,) = [circle for circle in drawing.iter("circle") if circle.get("r") == "3.5"]
    (base,) = [line for line in drawing.iter("line") if line.get("class") == "grid"]
    low, value, high = float(base.get("y1", "")), float(dot.get("cy", "")), float(limit.get("y1", ""))
    assert (low - value) == pytest.approx((low - high) / 2, abs=0.6), "0.5 % is half of 1 %"
    keep(lake, LAST, replace(NULLS, tolerated_pct=10.0))
    assert "limit" not in {
        line.get("class") for line in svgs(render(gather(lake, LAST, 5)), "Null shares").iter("line")
    }, "out of sight"


def test_row_counts_and_rejects_are_those_of_the_newest_commits(lake: Lake) -> None:
    for day, n, rejects in (
        ("2026-11-12", 40, {"unknown_user": 4}),
        ("2026-11-14", 60, {"future": 7}),
        ("2026-11-14", 80, {"future": 9}),
    ):
        with lake.attempt("user_days", ds=day) as attempt:
            attempt.write(valid_rows("user_days", n), "part-0000.parquet")
            attempt.publish(rejects=rejects)
    history = gather(lake, LAST, 3)
    newest = lake.require("user_days", ds=LAST).rows
    first = lake.require("user_days", ds="2026-11-12").rows
    assert history.rows == {"user_days": [first, None, newest]}
    assert history.rejects == {
        ("user_days", "future"): [0, None, 9],
        ("user_days", "unknown_user"): [4, None, 0],
    }
    page = render(history)
    assert f"{newest:,}  +100 %" in page
    assert "user_days: future" in page

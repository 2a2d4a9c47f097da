"""Charts: marks in proportion, text that fits, SVG that parses."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from angelia.drawing import charts
from angelia.drawing.charts import Series
from angelia.drawing.svg import CHARACTER


def svgs(html: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<root>{html}</root>").iter("svg"))


def test_the_tallest_column_is_in_proportion() -> None:
    html = charts.columns(["04", "05"], [Series("planned", [50, 100], "s1")], "hours")
    for svg in svgs(html):
        low, high = [float(rect.get("height", "0")) for rect in svg.iter("rect")]
        assert high == pytest.approx(2 * low, abs=0.02)


def test_an_interval_stands_where_its_numbers_are() -> None:
    (wide, _) = svgs(charts.intervals([("all", 1.0, -2.0, 4.0, "+1")], "lift", [False]))
    (circle,) = wide.iter("circle")
    middle = float(wide.get("width", "0")) / 2
    assert float(circle.get("cx", "0")) == pytest.approx(middle + (middle - 14) / 4, abs=0.02)
    assert circle.get("class") == "dot flat"  # it crosses zero


def test_names_and_titles_are_escaped_and_cut_to_fit() -> None:
    html = charts.bars([("<b>" + "x" * 200, 1.0, "1")], 'a "quoted" <label>')
    for svg in svgs(html):
        name = next(text for text in svg.iter("text") if text.get("class") == "name")
        assert name.text is not None
        assert name.text.startswith("<b>x")
        assert len(name.text) * CHARACTER <= float(svg.get("width", "0"))


def test_lines_parse_and_show_every_series() -> None:
    html = charts.lines(["a", "b"], [Series("price", [0.0, 2.0], "s3")], "prices")
    assert all(len(list(svg.iter("polyline"))) == 1 for svg in svgs(html))


def test_nothing_to_draw_is_no_error() -> None:
    assert svgs(charts.bars([], "none") + charts.columns([], [], "none") + charts.intervals([], "none", []))


def test_an_interval_is_coloured_only_where_it_is_settled() -> None:
    html = charts.intervals(
        [("up", 2.0, 1.0, 3.0, ""), ("open", 2.0, 1.0, 3.0, ""), ("down", -2.0, -3.0, -1.0, "")],
        "lift",
        [True, False, True],
    )
    assert [circle.get("class") for circle in svgs(html)[0].iter("circle")] == [
        "dot up",
        "dot flat",
        "dot down",
    ]

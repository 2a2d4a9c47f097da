"""Grids: shades in proportion, and a style sheet without a class that nothing draws."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from angelia.drawing import grids


def svgs(html: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(f"<root>{html}</root>").iter("svg"))


def test_a_heat_map_shades_by_the_highest_and_turns_on_a_phone() -> None:
    grid = [("Mon", [0.0, 10.0, 1.0]), ("Tue", [None, 2.0, 2.1])]
    wide, narrow = svgs(grids.heat(grid, ["00", "01", "02"], "heat"))
    assert [rect.get("class") for rect in wide.iter("rect")] == ["h0", "h5", "h1", "h1", "h2"]
    assert [rect.get("class") for rect in narrow.iter("rect")] == ["h0", "h5", "h1", "h1", "h2"]
    assert [title.text for title in wide.iter("title")][1] == "Mon 01: 10"
    assert [title.text for title in narrow.iter("title")][1] == "01 Mon: 10"
    tall, flat = (float(svg.get("height", "0")) for svg in (narrow, wide))
    assert tall > flat


def test_a_heat_map_of_zeros_has_the_lightest_shade() -> None:
    (wide, _) = svgs(grids.heat([("Mon", [0.0])], ["00"], "heat"))
    assert [rect.get("class") for rect in wide.iter("rect")] == ["h0"]


def test_every_class_of_the_style_sheet_is_drawn() -> None:
    package = Path(grids.__file__).parents[1]
    drawn = "".join(
        path.read_text("utf-8")
        for room in ("drawing", "effects", "quality")
        for path in (package / room).glob("*.py")
    )
    style = re.sub(r"{[^{}]*}", " ", (package / "drawing" / "style.css").read_text("utf-8"))
    classes = sorted(set(re.findall(r"\.([a-z][a-z0-9]*)", style)))
    assert "h5" in classes
    # Shades are written as f"h{shade}": a digit stands for the number.
    unused = [
        name
        for name in classes
        if not re.search(rf"\b{name}\b", drawn) and re.sub(r"\d$", "{shade}", name) not in drawn
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (95.0, "95"),
        (949.0, "949"),
        (999.0, "999"),
        (999.6, "1.0k"),
        (5_870.0, "5.9k"),
        (9_960.0, "10k"),
        (123_456.0, "123k"),
        (999_600.0, "1.0M"),
        (2.5e9, "2.5G"),
    ],
)
def test_a_cells_number_has_at_most_four_letters(value: float, written: str) -> None:
    (wide, narrow) = svgs(grids.heat([("Mon", [value])], ["00"], "heat"))
    for svg in (wide, narrow):
        assert written in [text.text for text in svg.iter("text")]
    assert len(written) <= 4

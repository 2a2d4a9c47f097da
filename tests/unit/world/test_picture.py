"""The picture of the world's hours: its lines are drawn to scale, and it parses."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from angelia.world import picture


def test_lines_are_drawn_to_scale_from_zero() -> None:
    values = np.zeros(24)
    values[6] = 0.02
    marks = picture._panel(100, "Share", [("world", "#123456", values)], " %")
    (line,) = [mark for mark in marks if mark.startswith("<polyline")]
    points = [tuple(map(float, point.split(","))) for point in re.findall(r"[\d.]+,[\d.]+", line)]
    bottom = picture.HEIGHT - 40
    assert len(points) == 24
    assert points[0] == (100 + round(picture.PANEL * 0.5 / 24, 1), bottom)
    # The highest value stands a little below the top, so that its line is seen whole.
    assert points[6][1] == round(bottom - (bottom - picture.TOP) / 1.15, 1)
    assert any("2.3 %" in mark for mark in marks), "the axis ends at the top"
    assert any(">world<" in mark for mark in marks)


def test_the_picture_parses_and_has_both_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are tested with the truth and the marginals; these are cheap ones."""
    curve = np.full(24, 0.04)
    monkeypatch.setattr(picture, "measure_world", lambda *_: {"hour_curve": curve})
    monkeypatch.setattr(picture, "open_probability", lambda *_: np.full((2_000, 24, 3), 0.06))
    root = ET.fromstring(picture.draw())
    names = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"KuaiRand", "world", "world, rested people"} <= set(names)
    lines = [node.get("points", "") for node in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(lines) == 3
    assert len({point.split(",")[1] for point in lines[2].split()}) == 1, "an even rate is a level line"

"""The console as one application: its pages in order, its style sheet in both themes."""

from __future__ import annotations

import json
import re

import pytest

from angelia.commands.loop import PROJECT
from angelia.console.app import STATIC, all_pages, themed
from angelia.drawing.page import STYLE


def test_pages_stand_in_the_navigation_in_order(console, catalog):
    titles = [page.title for page in all_pages() if page.is_listed]
    assert titles[:2] == ["Today", "Campaigns"]
    nav = console("VIEWER").get("/campaigns").text.partition("</nav>")[0]
    assert re.findall(r'href="/(\w+)"', nav) == [page.name for page in all_pages() if page.is_listed]
    assert re.search(r'href="/campaigns" aria-current="page"', nav)


def test_colours_follow_the_theme_on_the_page():
    style = themed(STYLE)
    assert ":root[data-theme=light]{" in style
    dark = style.partition(":root[data-theme=dark]{")[2].partition("}")[0]
    assert "--bg:#0f141a" in dark
    with pytest.raises(ValueError, match="no colours"):
        themed("body{}")


def test_the_script_knows_every_dag():
    """What failed and what is asked is shown of these alone."""
    listed = re.search(r"const DAGS = (\[.*\]);", (STATIC / "console.js").read_text("utf-8"))[1]
    assert json.loads(listed) == sorted(path.stem for path in (PROJECT / "dags").glob("[a-z]*.py"))

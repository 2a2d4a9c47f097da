"""The page of a span of nights: its sums are the marts', and what is unsettled is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from angelia import cli
from angelia.effects.attribution.series import with_shares
from angelia.lake import Lake
from tests.unit.effects.attribution.conftest import NEXT, Story
from tests.unit.effects.conftest import DS

pytestmark = pytest.mark.usefixtures("settings_home")


def run(capsys: Any, *words: str) -> tuple[int, Any, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["effects", *words, "--json"])
    shown = capsys.readouterr()
    return int(stopped.value.code or 0), json.loads(shown.out) if shown.out else None, shown.err


def test_a_page_shows_each_night_and_who_was_reached(
    lake: Lake, story: Story, capsys: Any, settings_home: Path
) -> None:
    span = ("--from", DS, "--to", "2026-11-16")
    code, _, error = run(capsys, "series", *span)
    assert code == 2
    assert "angelia effects mart" in error
    run(capsys, "mart", "--to", NEXT)
    code, result, _ = run(capsys, "series", *span)
    assert code == 0
    assert result["nights"] == [DS, NEXT]
    page = (settings_home / "reports" / "series.html").read_text("utf-8")
    assert result["page"].endswith("series.html")
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", page)
    nights = {row[:10]: re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows if row.startswith("2026")}
    assert (nights[DS][0], nights[NEXT][0]) == ("6", "1")
    assert (nights[DS][3], nights[NEXT][3]) == ("4", "1")
    assert page.count("<figure>") == 5
    assert f"{DS}: " in page
    assert "1 day without a plan" in page
    assert (result["nights_without_mart"], result["days_without_plan"]) == ([], ["2026-11-16"])
    assert "Deliverability" in page


def test_shares_are_of_what_was_sent_or_none() -> None:
    sums = {"n_sent": 8, "n_delivered": 6, "n_displayed": 0, "n_bounced": 1, "n_opened": 2}
    shares = with_shares(sums)
    names = ("delivered_pct", "displayed_pct", "bounced_pct", "opened_pct")
    assert [shares[name] for name in names] == [75.0, 0.0, 12.5, 25.0]
    assert with_shares({**sums, "n_sent": 0})["bounced_pct"] is None

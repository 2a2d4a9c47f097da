"""Effects in the console: sums without the held out, arms, and links that lead inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from angelia.config import Settings
from angelia.console.planned.effects import by, experiments, lift_charts, page_inside, written
from angelia.errors import NotFound
from angelia.quality.pages import ReportPages
from angelia.quality.publish import report_name

DS = "2026-11-14"


def row(campaign: str, arm: str, n: int, channel: str = "fcm") -> dict[str, Any]:
    names = ("n_users", "n_sent", "n_opened", "n_converted", "n_unsubscribed")
    return {"campaign_id": campaign, "arm": arm, "channel": channel, **dict.fromkeys(names, n)}


def test_sums_leave_out_who_was_held_out() -> None:
    rows = [row("sale", "treated", 5), row("sale", "holdout", 100), row("news", "b", 2), row("sale", "b", 1)]
    assert [(one.name, one.n_sent, one.n_opened) for one in by(rows, "campaign_id")] == [
        ("news", 2, 2),
        ("sale", 6, 6),
    ]
    with pytest.raises(AttributeError):
        _ = by(rows, "campaign_id")[0].n_nothing


def test_an_experiment_is_a_campaign_with_arms() -> None:
    rows = [
        row("sale", "treated", 5),
        row("sale", "holdout", 9),
        row("news", "long", 2),
        row("news", "short", 3),
    ]
    ((name, arms),) = experiments(rows)
    assert (name, [(arm.name, arm.n_users) for arm in arms]) == ("news", [("long", 2), ("short", 3)])


def test_the_best_estimate_of_each_scope_is_drawn() -> None:
    estimate = {"difference": 0.02, "low": 0.01, "high": 0.03, "always_low": -0.01, "always_high": 0.05}
    other = estimate | {"difference": 0.5}
    effects = [
        {
            "metric": "converted",
            "scope": "all",
            "adjusted": estimate,
            "unadjusted": other,
            "stands_out": True,
        },
        {"metric": "converted", "scope": "sale", "adjusted": None, "unadjusted": other, "stands_out": False},
        {"metric": "revenue", "scope": "all", "adjusted": None, "unadjusted": None, "stands_out": False},
    ]
    ((title, once, always),) = lift_charts({"effects": effects})
    assert title == "people who converted: difference per person"
    assert "+0.02 [+0.01, +0.03]" in once
    assert "+0.5 [" in once
    assert "[-0.01, +0.05]" in always


def test_links_of_a_page_lead_to_the_consoles_own(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    links = [f"{DS}.html#top", report_name(DS), "#here", "../secret.txt"]
    body = "".join(f'<a class="x" href="{link}">x</a>' for link in links)
    ReportPages(settings).write(f"{DS}.html", f"<header>H</header>\n<main>{body}</main>")
    head, main = page_inside(settings, DS, "/angelia", is_quality=False)
    assert head == "H"
    assert f'href="/angelia/effects/report/{DS}#top"' in main
    assert f'href="/angelia/effects/quality/{DS}"' in main
    assert 'href="#here"' in main
    assert "secret" not in main
    assert written(settings, [DS, "2026-11-13"]) == {DS: (True, False), "2026-11-13": (False, False)}
    with pytest.raises(NotFound, match="is not written here") as missing:
        page_inside(settings, DS, "/angelia", is_quality=True)
    assert missing.value.fix == f"run angelia report --ds {DS}"

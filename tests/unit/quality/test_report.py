"""The quality report: every square and line equals the planted verdicts; the page is safe."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from angelia import cli
from angelia.config import load_settings
from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Lake, numbered
from angelia.quality import CheckVerdict, run_gate
from angelia.quality.history import gather
from angelia.quality.publish import publish_report
from angelia.quality.report import render
from angelia.quality.verdicts import store

LAST = "2026-11-14"
GOOD = CheckVerdict(
    "sources",
    LAST,
    "user_events",
    "user_events.item.pattern",
    "item",
    "critical",
    True,
    False,
    1000,
    2,
    0.2,
    1.0,
    "no pattern",
    "angelia quality rows …",
)
NULLS = replace(
    GOOD, check="user_events.user_id.not_null", column="user_id", breach="null", bad_pct=0.5, n_bad=5
)


def keep(lake: Lake, ds: str, *verdicts: CheckVerdict) -> None:
    for gate in dict.fromkeys(one.gate for one in verdicts):
        store(lake, gate, ds, [replace(one, ds=ds) for one in verdicts if one.gate == gate])


def failing(of: CheckVerdict, **changes: Any) -> CheckVerdict:
    return replace(of, success=False, n_bad=300, bad_pct=30.0, **changes)


@pytest.fixture
def week(lake: Lake) -> Lake:
    """Five days: good, a warning, nothing checked, a crash, and a failure on the newest.

    The guard judged two of them.
    """
    keep(lake, "2026-11-10", GOOD, NULLS)
    keep(lake, "2026-11-11", failing(GOOD, severity="warning"), NULLS)
    keep(
        lake,
        "2026-11-13",
        replace(GOOD, success=False, crashed=True, error="IOException: canary@example.org"),
        NULLS,
    )
    keep(
        lake,
        LAST,
        GOOD,
        failing(NULLS),
        replace(GOOD, gate="plan", dataset="decisions", check="decisions.sent.any", column=None),
    )
    figures = {"messages": {"sale": 10, "digest": 32}, "unknown_timezones_pct": 1.25}
    breach = {
        "check": "volume",
        "severity": "campaign",
        "campaigns": ["sale"],
        "says": "10 messages of <sale> planned",
    }
    numbered.store(
        lake,
        "guard",
        "2026-11-13",
        {"verdict": "campaigns", "held": ["sale"], "breaches": [breach], "figures": figures},
    )
    numbered.store(lake, "guard", LAST, {"verdict": "crashed", "error": "canary@example.org"})
    return lake


def svgs(page: str, aria: str) -> ElementTree.Element:
    """Return the wide drawing whose description begins so."""
    (match,) = re.findall(rf'<div class="wide">(<svg [^>]*aria-label="{aria}.*?</svg>)', page, re.DOTALL)
    return ElementTree.fromstring(match)


def squares(page: str) -> dict[str, list[str]]:
    """Return the states by day (from the titles) of each row of the matrix."""
    words: dict[str, list[str]] = {}
    for title in svgs(page, "Verdicts").iter("title"):
        name, day, word = re.match(r"(\w+), ([\d-]+): ([\w ]+)", title.text or "").groups()  # type: ignore[union-attr]
        words.setdefault(name, []).append(f"{day[8:]} {word}")
    return words


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


def test_the_page_needs_nothing_and_says_nothing_of_a_person(week: Lake, settings_home: Path) -> None:
    canary = "canary-7f3a@example.org"
    rows = valid_rows("user_events", 300)
    names = pa.array([f"{canary}{i}" if i < 200 else None for i in range(300)])
    with week.attempt("user_events", ds=LAST) as attempt:
        attempt.write(
            rows.set_column(rows.column_names.index("user_id"), "user_id", names),
            "part-0000.parquet",
            conform=False,
        )
        attempt.publish()
    run_gate(week, "sources", LAST)
    page = Path(publish_report(load_settings())["report"]).read_text("utf-8")
    assert "user_events.user_id" in page
    assert "canary" not in page
    assert str(settings_home) not in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "default-src 'none'" in page
    assert page == Path(publish_report(load_settings())["report"]).read_text("utf-8"), (
        "equal verdicts, equal bytes"
    )


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(week: Lake) -> None:
    week.store.create("quality/main/2026-11-12/plan/0001.json", b"[{torn")
    week.store.create("quality/main/2026-11-12/guard/0001.json", b"{torn")
    with week.attempt("user_days", ds=LAST) as attempt:
        attempt.write(valid_rows("user_days", 10), "part-0000.parquet")
        commit = attempt.publish()
    path = week.store.local_path(commit.key)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"{}")
    history = gather(week, LAST, 28)
    assert len(history.unreadable) == 3
    page = render(history)
    assert "quality/main/2026-11-12/plan/0001.json is no JSON" in page
    assert squares(page)["user_events"][-1] == "14 failed"


def test_one_day_and_none(lake: Lake, settings_home: Path) -> None:
    with pytest.raises(NotFound, match="no gate was ever checked"):
        publish_report(load_settings())
    page = render(gather(lake, LAST, 1))
    assert "No gate was checked in these days." in page
    keep(lake, LAST, GOOD)
    assert squares(render(gather(lake, LAST, 1))) == {"user_events": ["14 passed"]}


def test_the_command_writes_now_a_night_and_replays(
    week: Lake, settings_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*options: str) -> list[str]:
        with pytest.raises(SystemExit) as stop:
            cli.main(["quality", "report", *options])
        assert stop.value.code == 0
        return sorted(
            str(path.relative_to(settings_home / "reports"))
            for path in (settings_home / "reports").rglob("*.html")
        )

    assert run() == ["quality.html"]
    assert run("--ds", "2026-11-13", "--days", "7", "--json") == ["2026-11-13-quality.html", "quality.html"]
    page = (settings_home / "reports" / "quality.html").read_text("utf-8")
    assert "<h1>Data quality up to 2026-11-14</h1>" in page
    monkeypatch.setenv("ANGELIA_BRANCH", "replay-1")
    assert run("--ds", LAST) == [
        "2026-11-13-quality.html",
        "quality.html",
        "replay-1/2026-11-14-quality.html",
    ]
    assert (settings_home / "reports" / "quality.html").read_text("utf-8") == page


def test_a_mistyped_year_is_not_the_newest_night(week: Lake, settings_home: Path) -> None:
    numbered.store(week, "guard", "2026-11-27", {})  # a guard's verdict alone checks no gate
    keep(week, "2062-11-14", GOOD)
    reports = Path(publish_report(load_settings())["report"]).parent
    assert publish_report(load_settings())["ds"] == LAST
    (reports / "quality.html").unlink()
    publish_report(load_settings(), "2062-11-14")
    assert not (reports / "quality.html").exists()
    assert publish_report(load_settings(), LAST)["ds"] == LAST
    assert (reports / "quality.html").is_file()

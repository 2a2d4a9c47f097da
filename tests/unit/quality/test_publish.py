"""The report as a file: now, a night, a replay; the newest day that is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from angelia import cli
from angelia.config import load_settings
from angelia.lake import Lake, numbered
from angelia.quality.publish import publish_report
from tests.unit.quality.week import GOOD, LAST, keep


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

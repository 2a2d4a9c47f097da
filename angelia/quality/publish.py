"""Write the quality report and Data Docs below HOME/reports.

`quality.html` shows the newest day and `DAY-quality.html` a night; for the newest night both are written.
Reads the lake and the written pages (which nights have a report to link). Replays have a part of their own.
"""

from __future__ import annotations

from typing import Any, NoReturn

from angelia.config import Settings
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.lake.configured import open_lake
from angelia.quality.data_docs import FOLDER, build
from angelia.quality.gates import GATES
from angelia.quality.history import days_checked, gather
from angelia.quality.pages import ReportPages
from angelia.quality.report import render

DAYS, DOCS_DAYS = 28, 7


def report_name(ds: str | None) -> str:
    """Return the file name of the quality report of a night, or of now."""
    return f"{ds}-quality.html" if ds else "quality.html"


def publish_report(settings: Settings, ds: str | None = None, days: int = DAYS) -> dict[str, Any]:
    """Write the quality report and return where, with the newest day's counts.

    Raises:
        NotFound: no gate was ever checked.
        InvalidInput: the file cannot be written.
    """
    lake = open_lake(settings=settings)
    newest = _newest(lake)
    last = ds or newest or _nothing_checked(lake)
    history = gather(lake, last, days)
    pages = ReportPages(settings)
    there = pages.there([FOLDER, *(f"{day}.html" for day in history.days)])
    reports = {day for day in history.days if f"{day}.html" in there}
    verdicts = history.of(last)
    page = render(history, reports=reports, docs=FOLDER in there)
    place = pages.write(report_name(ds), page)
    if ds and ds == newest:
        pages.write(report_name(None), page)
    return {
        "ds": last,
        "days": days,
        "checks": len(verdicts),
        "failed": sum(not verdict.success for verdict in verdicts),
        "closed": sorted({verdict.gate for verdict in verdicts if verdict.blocks}),
        "report": place,
    }


def publish_docs(settings: Settings, ds: str | None = None, days: int = DOCS_DAYS) -> dict[str, Any]:
    """Write Data Docs of the days up to `ds`; return their place and counts.

    The default `ds` is the newest day that was checked.

    Raises:
        NotFound: no gate was ever checked.
        InvalidInput: the folder cannot be written.
    """
    lake = open_lake(settings=settings)
    last = ds or _newest(lake) or _nothing_checked(lake)
    pages = ReportPages(settings)
    counts = build(gather(lake, last, days), pages.folder / FOLDER)
    return {"ds": last, "days": days, **counts, "docs": f"{pages.share(FOLDER)}/index.html"}


def _newest(lake: Lake) -> str | None:
    """Return the newest day up to today that a gate was checked for, if any was.

    A day after today comes of a mistyped year: it is the newest only where there is no other.
    """
    today, days = lake.clock().date().isoformat(), days_checked(lake)[::-1]
    for day in [*(day for day in days if day <= today), *days]:
        # The guard's verdict alone, as a replay has it, is no check of a gate.
        if not GATES.keys().isdisjoint(lake.store.children(f"quality/{lake.branch}/{day}")):
            return day
    return None


def _nothing_checked(lake: Lake) -> NoReturn:
    raise NotFound(
        f"no gate was ever checked on branch {lake.branch}",
        fix="run `angelia quality check --gate sources --ds D`, or a night",
    )

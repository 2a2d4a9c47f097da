"""Effects: figures kept over nights, counts by night, reports inside the navigation.

Grain: night, or span of nights. Reads `campaign_effects`, what `angelia effects over --keep` kept, and the
pages below ANGELIA_REPORTS; writes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from angelia.config import Settings
from angelia.console.engine import Engine
from angelia.drawing.charts import Trend, intervals, trends
from angelia.errors import NotFound
from angelia.lake import Lake
from angelia.output import percent, written_out
from angelia.quality.pages import ReportPages
from angelia.quality.publish import report_name

NIGHTS_AT_MOST = 14
COUNTED = ("n_users", "n_sent", "n_opened", "n_converted", "n_unsubscribed")
SIDES = ("treated", "holdout")
_MAIN = re.compile(r"<header>(?P<head>.*?)</header>\s*<main>(?P<main>.*)</main>", re.DOTALL)
_HREF = re.compile(r'(?P<before><a[^>]*?) href="(?P<to>[^"#]*)(?P<mark>#[^"]*)?"')
_PAGE = re.compile(r"(?P<ds>\d{4}-\d{2}-\d{2})(?P<quality>-quality)?\.html")
_WORDS = {
    "converted": "people who converted",
    "revenue": "money a person",
    "active_days": "active days",
    "retained_7": "people back on day 7",
    "retained_28": "people back on day 28",
}


@dataclass
class Counts:
    """What came of some messages: sums of `campaign_effects`."""

    name: str
    totals: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> int:
        """Return one of the sums."""
        if name in COUNTED:
            return int(self.totals[name])
        raise AttributeError(name)


def counted_nights(lake: Lake) -> list[str]:
    """Return the newest nights with published effects, newest first."""
    return [leaf["ds"] for leaf in reversed(lake.partitions("campaign_effects"))][:NIGHTS_AT_MOST]


def rows_of(engine: Engine, lake: Lake, ds: str) -> list[dict[str, Any]]:
    """Return a night's published effects; read once for each commit."""
    head = lake.require("campaign_effects", ds=ds)
    key = ("effects", lake.store.url, head.citation())
    return engine.kept(key, lambda: lake.read(head).to_pylist())


def by(rows: Sequence[Mapping[str, Any]], name: str) -> list[Counts]:
    """Return the sums of messages sent, by a column; who was held out is left out."""
    sums: dict[str, Counts] = {}
    for row in rows:
        if row["arm"] == "holdout":
            continue
        counts = sums.setdefault(str(row[name]), Counts(str(row[name])))
        counts.totals.update({one: row[one] for one in COUNTED})
    return [sums[name] for name in sorted(sums)]


def experiments(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Counts]]]:
    """Return the campaigns whose messages had arms of an experiment, with each arm's sums."""
    tables = []
    for campaign in sorted({str(row["campaign_id"]) for row in rows}):
        own = [row for row in rows if row["campaign_id"] == campaign]
        if {row["arm"] for row in own} - set(SIDES):
            tables.append((campaign, by(own, "arm")))
    return tables


def health(engine: Engine, lake: Lake, days: Sequence[str]) -> str:
    """Return each channel over nights as small lines, in per cent."""
    nights = [{one.name: one for one in by(rows_of(engine, lake, ds), "channel")} for ds in reversed(days)]
    rows = []
    for channel in sorted({name for night in nights for name in night}):
        for name, part, whole in (
            ("accepted of planned", "n_sent", "n_users"),
            ("opened of accepted", "n_opened", "n_sent"),
            ("unsubscribed of accepted", "n_unsubscribed", "n_sent"),
        ):
            values = [_pct(night.get(channel), part, whole) for night in nights]
            note = "–" if values[-1] is None else percent(values[-1])
            rows.append(Trend(f"{channel}: {name}", values, note, digits=2, unit=" %"))
    return trends(rows, [ds[5:] for ds in reversed(days)], "Channels over nights") if rows else ""


def _pct(counts: Counts | None, part: str, whole: str) -> float | None:
    if counts is None or not counts.totals[whole]:
        return None
    return 100.0 * counts.totals[part] / counts.totals[whole]


def lift_charts(kept: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return a chart for each metric with its intervals: title, at one look, at every look.

    The best estimate of each scope is drawn: adjusted for history where it can be.
    """
    charts = []
    for metric in dict.fromkeys(row["metric"] for row in kept["effects"]):
        once: list[tuple[str, float, float, float, str]] = []
        always: list[tuple[str, float, float, float, str]] = []
        coloured = []
        for row in kept["effects"]:
            best = row["adjusted"] or row["unadjusted"]
            if row["metric"] != metric or best is None:
                continue
            difference = float(best["difference"])
            for rows, low, high in ((once, "low", "high"), (always, "always_low", "always_high")):
                ends = float(best[low]), float(best[high])
                note = "{} [{}, {}]".format(*(written_out(v, 4, signed=True) for v in (difference, *ends)))
                rows.append((str(row["scope"]), difference, *ends, note))
            coloured.append(bool(row["stands_out"]))
        if once:
            label = f"{_WORDS.get(metric, metric)}: difference per person"
            quiet = [False] * len(once)
            charts.append((label, intervals(once, label, quiet), intervals(always, label, coloured)))
    return charts


def page_inside(settings: Settings, ds: str, root: str, *, is_quality: bool) -> tuple[str, str]:
    """Return head and body of a written page, its links leading to the console's own.

    Raises:
        NotFound: it was not written, or on a machine that shares no pages with this one.
    """
    name = report_name(ds) if is_quality else f"{ds}.html"
    match = _MAIN.search(ReportPages(settings).read(name) or "")
    if match is None:
        raise NotFound(f"the page of {ds} is not written here", fix=f"run angelia report --ds {ds}")

    def lead(link: re.Match[str]) -> str:
        to, mark = link["to"], link["mark"] or ""
        if not to:
            return link[0]
        page = _PAGE.fullmatch(to)
        if page is None:
            return link["before"]  # a file beside it that the console does not serve
        kind = "quality" if page["quality"] else "report"
        return f'{link["before"]} href="{root}/effects/{kind}/{page["ds"]}{mark}"'

    return _HREF.sub(lead, match["head"]), _HREF.sub(lead, match["main"])


def written(settings: Settings, days: Sequence[str]) -> dict[str, tuple[bool, bool]]:
    """Return for each night whether its report and its quality page are written here."""
    names = {ds: (f"{ds}.html", report_name(ds)) for ds in days}
    there = ReportPages(settings).there(name for pair in names.values() for name in pair)
    return {ds: (page in there, quality in there) for ds, (page, quality) in names.items()}

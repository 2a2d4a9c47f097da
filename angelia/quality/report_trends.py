"""The quality report's lines by day: rows, dirty rows, rows left out, the plan's figures.

Reads a `History`; returns HTML sections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from angelia.drawing import charts
from angelia.drawing.charts import Trend
from angelia.drawing.page import details, empty, figure, section, table
from angelia.drawing.svg import number
from angelia.output import percent
from angelia.quality.history import History, short_day
from angelia.quality.verdicts import short_percent

SHOWN_TRENDS = 14  # lines of a section that stand unfolded
NULLS = (".not_null", ".max_null")


def row_counts(history: History) -> str:
    """Return one line per dataset: the rows of its newest commit by day."""
    lead = (
        "Rows of each dataset's newest commit, by day, each on its own scale; beside it the newest "
        "count against the median of the days before."
    )
    drawn = [_row_trend(name, values) for name, values in history.rows.items()]
    if not drawn:
        return section("rows", "Row counts", lead, empty("Nothing was committed in these days."))
    label = "Row counts: " + ", ".join(f"{one.name} {one.note}" for one in drawn)
    return section(
        "rows",
        "Row counts",
        lead,
        figure(charts.trends(drawn, _names(history), label)),
        _numbers(history, history.rows),
    )


def _row_trend(name: str, values: Sequence[int | None]) -> Trend:
    known = [value for value in values if value is not None]
    usual = median(known[:-1]) if len(known) > 1 else 0
    moved = f"  {100 * (known[-1] / usual - 1):+.0f} %" if usual else ""
    return Trend(name, values, f"{number(known[-1])}{moved}")


def _names(history: History) -> list[str]:
    return [short_day(day) for day in history.days]


def _numbers(history: History, lines: Mapping[str, Sequence[int | None]]) -> str:
    """Return the figures behind lines, days downwards, folded away."""
    shown = [
        {"day": day, **{name: values[k] for name, values in lines.items()}}
        for k, day in enumerate(history.days)
    ]
    return details(
        "Numbers", table([("day", "day"), *((name, name) for name in lines)], list(reversed(shown)), "By day")
    )


def rules(history: History) -> str:
    """Return null shares and other dirt as percent of rows, by rule and day.

    Rules nearest to their limit come first.
    """
    lead = (
        "Percent of rows that are null where they should not be, by day; the dashed line is what the "
        "contract tolerates, where it is near."
    )
    checks = dict.fromkeys(
        verdict.check
        for day in history.days
        for verdict in history.of(day)
        if verdict.n_bad and verdict.n_rows
    )
    nulls, others = (
        [check for check in checks if check.endswith(NULLS) is wanted] for wanted in (True, False)
    )
    parts = _by_nearness(nulls, history, "Null shares") or [empty("No null where none belongs.")]
    if others:
        parts += [
            "<h3>Other rules with rows that break them</h3>",
            *_by_nearness(others, history, "Other rules"),
        ]
    return section("nulls", "Nulls and other dirt", lead, *parts)


def _by_nearness(checks: Sequence[str], history: History, what: str) -> list[str]:
    drawn = sorted(
        (_rule_trend(check, history) for check in checks),
        key=lambda trend: (not trend.is_bad, -_nearness(trend)),
    )
    first, more = drawn[:SHOWN_TRENDS], drawn[SHOWN_TRENDS:]
    parts = [figure(charts.trends(first, _names(history), _label(what, first)))] if first else []
    return parts + (
        [details(f"{len(more)} more", figure(charts.trends(more, _names(history), _label(what, more))))]
        if more
        else []
    )


def _rule_trend(check: str, history: History) -> Trend:
    verdicts = [
        next((verdict for verdict in history.of(day) if verdict.check == check), None) for day in history.days
    ]
    known = [verdict for verdict in verdicts if verdict is not None and verdict.bad_pct is not None]
    newest = known[-1]
    note = (
        f"{short_percent(newest.bad_pct or 0)} of {newest.tolerated_pct:g} %"
        if newest.tolerated_pct
        else short_percent(newest.bad_pct or 0)
    )
    name = next((check.removesuffix(suffix) for suffix in NULLS if check.endswith(suffix)), check)
    return Trend(
        name,
        [verdict.bad_pct if verdict else None for verdict in verdicts],
        note,
        newest.tolerated_pct,
        not newest.success,
        3,
        " %",
    )


def _nearness(trend: Trend) -> float:
    newest = next((value for value in reversed(trend.values) if value is not None), 0.0)
    return newest / trend.limit if trend.limit else newest


def _label(what: str, drawn: Sequence[Trend]) -> str:
    return f"{what}: " + ", ".join(f"{one.name} {one.note}" for one in drawn[:SHOWN_TRENDS])


def rejects(history: History) -> str:
    """Return one line per dataset and reason: the rows that jobs left out by day."""
    lead = "Rows that jobs left out, by dataset written and reason. Every row left out is counted."
    counts = {f"{name}: {reason}": values for (name, reason), values in history.rejects.items()}
    drawn = [
        Trend(name, values, number([value for value in values if value is not None][-1]))
        for name, values in counts.items()
    ]
    if not drawn:
        return section(
            "rejects", "Rows left out, by reason", lead, empty("No row was left out in these days.")
        )
    chart = figure(charts.trends(drawn, _names(history), _label("Rows left out", drawn)))
    return section("rejects", "Rows left out, by reason", lead, chart, _numbers(history, counts))


def plausibility(history: History) -> str:
    """Return the guard's figures of each night's plan by day."""
    lead = "What each night's plan looked like to the guard, which stands between the plan and its manifests."
    figures = {day: kept["figures"] for day, kept in history.guard.items() if kept.get("figures")}
    if not figures:
        return section(
            "guard", "Plausibility of the plan", lead, empty("The guard judged no plan in these days.")
        )
    campaigns = sorted({name for its in figures.values() for name in its["messages"]})
    drawn = [
        _count_trend(
            "messages of the night",
            history,
            {day: sum(its["messages"].values()) for day, its in figures.items()},
        )
    ]
    shares = {day: its["unknown_timezones_pct"] for day, its in figures.items()}
    values = [shares.get(day) for day in history.days]
    drawn.append(
        Trend(
            "unknown timezones, % of people",
            values,
            percent([v for v in values if v is not None][-1]),
            20.0,
            False,
            2,
            " %",
        )
    )
    each = [
        _count_trend(name, history, {day: its["messages"].get(name, 0) for day, its in figures.items()})
        for name in campaigns
    ]
    inner = [figure(charts.trends(drawn, _names(history), _label("Plan", drawn)))]
    # These nights may have planned no campaign at all; a chart without lines would say nothing.
    if each:
        inner.append(
            f"<h3>Messages planned, by "
            f"campaign</h3>{figure(charts.trends(each, _names(history), _label('Messages planned', each)))}"
        )
    return section("guard", "Plausibility of the plan", lead, *inner)


def _count_trend(name: str, history: History, counts: Mapping[str, int]) -> Trend:
    values = [counts.get(day) for day in history.days]
    return Trend(name, values, number([value for value in values if value is not None][-1]))

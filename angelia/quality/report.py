"""The quality report: the checks by day, and how rows, nulls and rejected rows move.

Reads a `History`; returns HTML. Nothing here measures anything: figures come from verdicts, from commits and
from the guard. The page holds counts, names of datasets, columns, checks and campaigns, never a value of a
row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from html import escape
from statistics import median
from typing import Any

from angelia.drawing import charts
from angelia.drawing.charts import Cell, Trend
from angelia.drawing.page import (
    Html,
    details,
    empty,
    facts,
    figure,
    legend,
    links,
    listed,
    page,
    section,
    table,
    tiles,
)
from angelia.drawing.svg import number
from angelia.quality.gates import GATES
from angelia.quality.history import History
from angelia.quality.verdicts import CheckVerdict

FEWEST_DAYS = 7  # the matrix begins with the first checked day, but shows at least this many
SHOWN, SHOWN_TRENDS = 20, 14
NULLS = (".not_null", ".max_null")


def render(history: History, *, reports: Collection[str] = (), docs: bool = False) -> str:
    """Return the page.

    Args:
        history: of the days to show.
        reports: days whose night has a report beside this page, to link.
        docs: whether Data Docs stand beside this page, to link.
    """
    last = history.days[-1]
    title = f"Angelia: data quality up to {last}"
    branch = "" if history.branch == "main" else f" on branch {escape(history.branch)}"
    beside = [(f"{last}.html", f"Report of the night of {last}")] if last in reports else []
    beside += [("data_docs/index.html", "Great Expectations' Data Docs of the same checks")] if docs else []
    head = (
        f"<h1>Data quality up to {last}</h1>"
        f'<p class="lead">What the gates and the guard said of the {len(history.days)} days up to '
        f"{last}{branch}, and how the data moved.</p>"
        f"{links(beside)}"
    )
    sections = [
        _tiles(history),
        _matrix(history),
        _look(history),
        _rows(history),
        _rules(history),
        _rejects(history),
        _guard(history),
        _made(history, reports),
    ]
    return page(
        title, head, sections, "<p>Counts only: no line of this page is about one person. Days are UTC.</p>"
    )


def state(found: Sequence[CheckVerdict]) -> str:
    """Return what some verdicts amount to: crashed, failed, warned, or ok."""
    if any(verdict.crashed for verdict in found):
        return "crashed"
    if any(verdict.blocks for verdict in found):
        return "failed"
    return "ok" if all(verdict.success for verdict in found) else "warned"


SIGNS = {"ok": "", "warned": "!", "failed": "×", "crashed": "?"}
WORDS = {"ok": "passed", "warned": "warning", "failed": "failed", "crashed": "check crashed"}
GUARD_STATES = {
    "open": "ok",
    "missing": "warned",
    "campaigns": "warned",
    "night": "failed",
    "crashed": "crashed",
}
GUARD_WORDS = {
    "open": "plausible",
    "missing": "campaigns missing",
    "campaigns": "campaigns held back",
    "night": "night held back",
    "crashed": "crashed",
}


def _short_day(day: str) -> str:
    return f"{date.fromisoformat(day):%d %b}".lstrip("0")


def _tiles(history: History) -> str:
    last = history.days[-1]
    found, guard = history.of(last), history.guard.get(last)
    by_gate = {
        gate: state(history.verdicts[last, gate]) for gate in GATES if (last, gate) in history.verdicts
    }
    closed = [gate for gate, its in by_gate.items() if its in ("failed", "crashed")]
    checked = [day for day in history.days if history.of(day)]
    blocked = [day for day in checked if any(verdict.blocks for verdict in history.of(day))]
    measured = {verdict.dataset: verdict.n_rows for verdict in found if verdict.n_rows is not None}
    dirty = [verdict for verdict in found if verdict.success and verdict.n_bad]
    worst = next(
        (its for its in ("crashed", "failed", "warned") if its in by_gate.values()),
        "ok" if by_gate else "warned",
    )
    kept = str(guard["verdict"]) if guard else ""
    gates = f"{len(by_gate)} of {len(GATES)} checked" + (f", closed: {', '.join(closed)}" if closed else "")
    return tiles(
        [
            (
                _badge(worst, "not checked" if not by_gate else "closed" if closed else "open"),
                f"gates of {last}",
                gates,
            ),
            (number(sum(verdict.success for verdict in found)), "checks hold", f"of {number(len(found))}"),
            (number(sum(measured.values())), "rows measured", f"in {len(measured)} datasets"),
            (
                number(len(dirty)),
                "rules with dirty rows",
                "within what is tolerated; jobs leave such rows out",
            ),
            (number(len(blocked)), "days with a closed gate", f"of {len(checked)} days checked"),
            (
                _badge(GUARD_STATES.get(kept, "crashed"), GUARD_WORDS.get(kept, "unknown")) if guard else "–",
                "says the guard of the plan",
                _held(guard),
            ),
        ]
    )


def _held(guard: Mapping[str, Any] | None) -> str:
    if guard is None:
        return "no plan was judged"
    return (
        ", ".join(guard.get("held") or guard.get("missing") or ())
        or f"{number(sum((guard.get('figures') or {}).get('messages', {}).values()))} messages planned"
    )


def _matrix(history: History) -> str:
    lead = (
        "One square per dataset and day. Hover for what was found, click for what to do; a dot says "
        "that nothing was checked."
    )
    known = [k for k, day in enumerate(history.days) if history.of(day) or day in history.guard]
    if not known:
        return section(
            "verdicts", "Verdicts by dataset and day", lead, empty("No gate was checked in these days.")
        )
    days = history.days[min(known[0], max(0, len(history.days) - FEWEST_DAYS)) :]
    rows: list[tuple[str, list[Cell | None]]] = []
    groups = []
    for gate in GATES:
        names = dict.fromkeys(
            verdict.dataset for day in days for verdict in history.verdicts.get((day, gate), ())
        )
        for name in names:
            cells = [
                _cell(
                    day, gate, name, [v for v in history.verdicts.get((day, gate), ()) if v.dataset == name]
                )
                for day in days
            ]
            rows.append((name, cells))
            groups.append(f"gate {gate}")
    if history.guard.keys() & set(days):
        rows.append(("plan_guard", [_guard_cell(day, history.guard.get(day)) for day in days]))
        groups.append("guard")
    chart = charts.matrix(rows, [_short_day(day) for day in days], _matrix_label(rows, days), groups=groups)
    key = legend(
        [
            ("ok", "passed"),
            ("warned", "! warning"),
            ("failed", "× failed, gate closed"),
            ("crashed", "? check crashed, gate closed"),
        ]
    )
    return section("verdicts", "Verdicts by dataset and day", lead, key, figure(chart))


def _matrix_label(rows: Sequence[tuple[str, Sequence[Cell | None]]], days: Sequence[str]) -> str:
    bad = [
        f"{name} {days[k]} {WORDS[cell.css]}"
        for name, cells in rows
        for k, cell in enumerate(cells)
        if cell is not None and cell.css != "ok"
    ]
    return f"Verdicts of {len(rows)} datasets on {len(days)} days: " + ("; ".join(bad[:20]) or "all passed")


def _cell(day: str, gate: str, name: str, found: Sequence[CheckVerdict]) -> Cell | None:
    if not found:
        return None
    its = state(found)
    wrong = [verdict for verdict in found if not verdict.success]
    said = f"{len(found) - len(wrong)} of {len(found)} checks hold" + "".join(
        f"\n{_breach(verdict)}" for verdict in wrong[:6]
    )
    return Cell(its, SIGNS[its], f"{name}, {day}: {WORDS[its]}\n{said}", f"#{gate}-{name}" if wrong else "")


def _guard_cell(day: str, kept: Mapping[str, Any] | None) -> Cell | None:
    if kept is None:
        return None
    its = GUARD_STATES.get(str(kept.get("verdict")), "crashed")
    said = "".join(f"\n{breach['says']}" for breach in kept.get("breaches", ()))
    return Cell(
        its,
        SIGNS[its],
        f"guard, {day}: {GUARD_WORDS.get(str(kept.get('verdict')), 'unknown')}{said}",
        "#guard" if its != "ok" else "",
    )


def _breach(verdict: CheckVerdict) -> str:
    """Return the problem of a failed check; for a crash, only that it crashed.

    An exception's own text may hold anything, so it does not belong on a page.
    """
    return f"{verdict.check} crashed" if verdict.crashed else verdict.sentence()


def _look(history: History) -> str:
    lead = "Checks that failed and plans that the guard found out of bounds, newest day first."
    wrong: dict[tuple[str, str], dict[str, list[CheckVerdict]]] = {}
    for day in reversed(history.days):
        for verdict in history.of(day):
            if not verdict.success:
                wrong.setdefault((verdict.gate, verdict.dataset), {}).setdefault(verdict.check, []).append(
                    verdict
                )
    parts = []
    for (gate, name), checks in sorted(
        wrong.items(), key=lambda item: max(found[0].ds for found in item[1].values()), reverse=True
    ):
        items = sorted(
            checks.values(), key=lambda found: (found[0].ds, found[0].crashed, found[0].blocks), reverse=True
        )
        parts.append(
            f'<h3 id="{gate}-{name}">{name}, gate '
            f"{gate}</h3>{listed([_found(found, history) for found in items[:SHOWN]])}"
        )
        if len(items) > SHOWN:
            parts.append(
                f'<p class="soft">And {len(items) - SHOWN} more: <code>angelia quality show '
                f"--gate {gate} --ds {items[0][0].ds}</code></p>"
            )
    breaches = [
        _breach_item(day, history.guard[day])
        for day in reversed(history.days)
        if history.guard.get(day, {}).get("verdict", "open") != "open"
    ]
    if breaches:
        parts.append(f'<h3 id="guard">The guard of the plan</h3>{listed(breaches)}')
    return section("look", "What needs a look", lead, *(parts or [empty("Every check of these days held.")]))


def _found(found: Sequence[CheckVerdict], history: History) -> Html:
    """Return what is to be said of one check: its verdicts that were not good, newest first."""
    newest = found[0]
    its = state([newest])
    days = (
        (
            f"on {len(found)} of "
            f"{sum(bool(history.verdicts.get((day, newest.gate))) for day in history.days)} days"
        )
        if len(found) > 1
        else ""
    )
    when = f"{newest.ds}{', ' + days if days else ''}"
    said = (
        "the check could not run: the data may be good or bad"
        if newest.crashed
        else newest.sentence().split(": ", 1)[1]
    )
    what = (
        f"{newest.dataset}.{newest.column}" if newest.column and "," not in newest.column else newest.dataset
    )
    return Html(
        f"{_badge(its)} <b>{escape(what)}</b>: {escape(said)} <span "
        f'class="soft">{escape(when)}</span><br><code>{escape(newest.command)}</code>'
    )


def _breach_item(day: str, kept: Mapping[str, Any]) -> Html:
    its = GUARD_STATES.get(str(kept.get("verdict")), "crashed")
    said = (
        "; ".join(str(breach["says"]) for breach in kept.get("breaches", ()))
        or "the plan may be good or bad; nothing was emitted from it"
    )
    word = GUARD_WORDS.get(str(kept.get("verdict")), "unknown")
    return Html(
        f'{_badge(its, word)} {escape(said)} <span class="soft">{day}</span><br><code>angelia '
        f"plan guard --ds {day}</code>"
    )


def _badge(its: str, word: str = "") -> Html:
    css = {"crashed": "bad", "failed": "bad", "warned": "warn", "ok": "good"}[its]
    return Html(f'<span class="verdict {css}">{escape(word or WORDS[its])}</span>')


def _rows(history: History) -> str:
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
    return [_short_day(day) for day in history.days]


def _numbers(history: History, lines: Mapping[str, Sequence[int | None]]) -> str:
    """Return the figures behind lines, days downwards, folded away."""
    shown = [
        {"day": day, **{name: values[k] for name, values in lines.items()}}
        for k, day in enumerate(history.days)
    ]
    return details(
        "Numbers", table([("day", "day"), *((name, name) for name in lines)], list(reversed(shown)), "By day")
    )


def _rules(history: History) -> str:
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
        (_rule_trend(check, history) for check in checks), key=lambda one: (not one.is_bad, -_nearness(one))
    )
    first, more = drawn[:SHOWN_TRENDS], drawn[SHOWN_TRENDS:]
    parts = [figure(charts.trends(first, _names(history), _label(what, first)))] if first else []
    return parts + (
        [details(f"{len(more)} more", figure(charts.trends(more, _names(history), _label(what, more))))]
        if more
        else []
    )


def _rule_trend(check: str, history: History) -> Trend:
    found = [
        next((verdict for verdict in history.of(day) if verdict.check == check), None) for day in history.days
    ]
    known = [verdict for verdict in found if verdict is not None and verdict.bad_pct is not None]
    newest = known[-1]
    note = (
        f"{newest.bad_pct or 0:.3g} % of {newest.tolerated_pct:g} %"
        if newest.tolerated_pct
        else f"{newest.bad_pct or 0:.3g} %"
    )
    name = next((check.removesuffix(suffix) for suffix in NULLS if check.endswith(suffix)), check)
    return Trend(
        name,
        [verdict.bad_pct if verdict else None for verdict in found],
        note,
        newest.tolerated_pct,
        not newest.success,
        3,
        " %",
    )


def _nearness(one: Trend) -> float:
    newest = next((value for value in reversed(one.values) if value is not None), 0.0)
    return newest / one.limit if one.limit else newest


def _label(what: str, drawn: Sequence[Trend]) -> str:
    return f"{what}: " + ", ".join(f"{one.name} {one.note}" for one in drawn[:SHOWN_TRENDS])


def _rejects(history: History) -> str:
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


def _guard(history: History) -> str:
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
            f"{[v for v in values if v is not None][-1]:.2f} %",
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
    if each:
        inner.append(
            f"<h3>Messages planned, by "
            f"campaign</h3>{figure(charts.trends(each, _names(history), _label('Messages planned', each)))}"
        )
    return section("guard", "Plausibility of the plan", lead, *inner)


def _count_trend(name: str, history: History, counts: Mapping[str, int]) -> Trend:
    values = [counts.get(day) for day in history.days]
    return Trend(name, values, number([value for value in values if value is not None][-1]))


def _made(history: History, reports: Collection[str]) -> str:
    checked = [day for day in history.days if history.of(day)]
    refs = sorted({ref for verdict in history.of(checked[-1]) for ref in verdict.commits}) if checked else []
    entries = [
        ("Branch", history.branch),
        ("Days", f"{history.days[0]} to {history.days[-1]}, {len(checked)} of them checked"),
        ("Verdicts", f"newest of quality/{history.branch}/DAY/GATE"),
    ]
    checked_last = [{"ref": Html(f"<code>{escape(ref)}</code>")} for ref in refs]
    commits = (
        details(
            f"All {number(len(refs))} commits checked on the newest day",
            table([("ref", "commit")], checked_last, "Commits"),
        )
        if refs
        else ""
    )
    parts = [
        facts(entries),
        commits,
        links([(f"{day}.html", f"Report of {day}") for day in sorted(reports, reverse=True)]),
    ]
    if history.unreadable:
        parts.append(
            table(
                [("what", "could not be read")],
                [{"what": said} for said in history.unreadable],
                "Left out of this page",
            )
        )
    return section(
        "source", "Made from", "The same verdicts and commits give the same page, byte for byte.", *parts
    )

"""The quality report's verdicts: a square per dataset and day, and the failed checks.

Reads a `History`; returns HTML sections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from angelia.drawing import grids
from angelia.drawing.grids import Cell
from angelia.drawing.page import Html, empty, figure, legend, listed, section
from angelia.quality.gates import GATES
from angelia.quality.history import History, short_day
from angelia.quality.states import GUARD_STATES, GUARD_WORDS, SIGNS, WORDS, badge, state
from angelia.quality.verdicts import CheckVerdict

FEWEST_DAYS = 7  # the matrix begins with the first checked day, but shows at least this many
SHOWN = 20  # failed checks of a dataset that the page lists


def matrix(history: History) -> str:
    """Return the squares: one per dataset and day, grouped by gate."""
    lead = (
        "One square per dataset and day. Hover for what was found, click for what to do; a dot says "
        "that nothing was checked."
    )
    known = [k for k, day in enumerate(history.days) if history.of(day) or day in history.guard]
    if not known:
        return section(
            "verdicts", "Verdicts by dataset and day", lead, empty("No gate was checked in these days.")
        )
    # Days before the first check are left out, down to a width that still reads as a row.
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
    chart = grids.matrix(rows, [short_day(day) for day in days], _matrix_label(rows, days), groups=groups)
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


def _cell(day: str, gate: str, name: str, verdicts: Sequence[CheckVerdict]) -> Cell | None:
    if not verdicts:
        return None
    its = state(verdicts)
    wrong = [verdict for verdict in verdicts if not verdict.success]
    title = f"{len(verdicts) - len(wrong)} of {len(verdicts)} checks hold" + "".join(
        f"\n{_breach(verdict)}" for verdict in wrong[:6]
    )
    return Cell(its, SIGNS[its], f"{name}, {day}: {WORDS[its]}\n{title}", f"#{gate}-{name}" if wrong else "")


def _guard_cell(day: str, kept: Mapping[str, Any] | None) -> Cell | None:
    if kept is None:
        return None
    its = GUARD_STATES.get(str(kept.get("verdict")), "crashed")
    breaches = "".join(f"\n{breach['says']}" for breach in kept.get("breaches", ()))
    return Cell(
        its,
        SIGNS[its],
        f"guard, {day}: {GUARD_WORDS.get(str(kept.get('verdict')), 'unknown')}{breaches}",
        "#guard" if its != "ok" else "",
    )


def _breach(verdict: CheckVerdict) -> str:
    """Return the problem of a failed check; for a crash, only that it crashed.

    An exception's own text may hold anything, so it does not belong on a page.
    """
    return f"{verdict.check} crashed" if verdict.crashed else verdict.sentence()


def look(history: History) -> str:
    """Return the failed checks and the guard's breaches, newest day first."""
    lead = "Checks that failed and plans that the guard found out of bounds, newest day first."
    wrong: dict[tuple[str, str], dict[str, list[CheckVerdict]]] = {}
    for day in reversed(history.days):
        for verdict in history.of(day):
            if not verdict.success:
                wrong.setdefault((verdict.gate, verdict.dataset), {}).setdefault(verdict.check, []).append(
                    verdict
                )
    parts = []
    # The newest breach comes first; of one day, crashed checks and those that close the gate.
    for (gate, name), checks in sorted(
        wrong.items(), key=lambda item: max(found[0].ds for found in item[1].values()), reverse=True
    ):
        items = sorted(
            checks.values(),
            key=lambda verdicts: (verdicts[0].ds, verdicts[0].crashed, verdicts[0].blocks),
            reverse=True,
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


def _found(verdicts: Sequence[CheckVerdict], history: History) -> Html:
    """Return what is to be said of one check: its verdicts that were not good, newest first."""
    newest = verdicts[0]
    its = state([newest])
    days = (
        (
            f"on {len(verdicts)} of "
            f"{sum(bool(history.verdicts.get((day, newest.gate))) for day in history.days)} days"
        )
        if len(verdicts) > 1
        else ""
    )
    when = f"{newest.ds}{', ' + days if days else ''}"
    text = (
        "the check could not run: the data may be good or bad"
        if newest.crashed
        else newest.sentence().split(": ", 1)[1]
    )
    what = (
        f"{newest.dataset}.{newest.column}" if newest.column and "," not in newest.column else newest.dataset
    )
    return Html(
        f"{badge(its)} <b>{escape(what)}</b>: {escape(text)} <span "
        f'class="soft">{escape(when)}</span><br><code>{escape(newest.command)}</code>'
    )


def _breach_item(day: str, kept: Mapping[str, Any]) -> Html:
    its = GUARD_STATES.get(str(kept.get("verdict")), "crashed")
    text = (
        "; ".join(str(breach["says"]) for breach in kept.get("breaches", ()))
        or "the plan may be good or bad; nothing was emitted from it"
    )
    word = GUARD_WORDS.get(str(kept.get("verdict")), "unknown")
    return Html(
        f'{badge(its, word)} {escape(text)} <span class="soft">{day}</span><br><code>angelia '
        f"plan guard --ds {day}</code>"
    )

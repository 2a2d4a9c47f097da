"""The quality report: the checks by day, and how rows, nulls and rejected rows move.

Reads a `History`; returns HTML. Nothing here measures anything: figures come from verdicts, from commits and
from the guard. The page holds counts, names of datasets, columns, checks and campaigns, never a value of a
row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from angelia.drawing.page import (
    Html,
    details,
    facts,
    links,
    page,
    section,
    table,
    tiles,
)
from angelia.drawing.svg import number
from angelia.quality.gates import GATES
from angelia.quality.history import History
from angelia.quality.report_trends import plausibility, rejects, row_counts, rules
from angelia.quality.report_verdicts import look, matrix
from angelia.quality.states import GUARD_STATES, GUARD_WORDS, badge, state


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
        matrix(history),
        look(history),
        row_counts(history),
        rules(history),
        rejects(history),
        plausibility(history),
        _made(history, reports),
    ]
    return page(
        title, head, sections, "<p>Counts only: no line of this page is about one person. Days are UTC.</p>"
    )


def _tiles(history: History) -> str:
    last = history.days[-1]
    verdicts, guard = history.of(last), history.guard.get(last)
    by_gate = {
        gate: state(history.verdicts[last, gate]) for gate in GATES if (last, gate) in history.verdicts
    }
    closed = [gate for gate, its in by_gate.items() if its in ("failed", "crashed")]
    checked = [day for day in history.days if history.of(day)]
    blocked = [day for day in checked if any(verdict.blocks for verdict in history.of(day))]
    measured = {verdict.dataset: verdict.n_rows for verdict in verdicts if verdict.n_rows is not None}
    dirty = [verdict for verdict in verdicts if verdict.success and verdict.n_bad]
    # A night that was not checked at all is no good news: it shows as a warning.
    worst = next(
        (its for its in ("crashed", "failed", "warned") if its in by_gate.values()),
        "ok" if by_gate else "warned",
    )
    kept = str(guard["verdict"]) if guard else ""
    gates = f"{len(by_gate)} of {len(GATES)} checked" + (f", closed: {', '.join(closed)}" if closed else "")
    return tiles(
        [
            (
                badge(worst, "not checked" if not by_gate else "closed" if closed else "open"),
                f"gates of {last}",
                gates,
            ),
            (
                number(sum(verdict.success for verdict in verdicts)),
                "checks hold",
                f"of {number(len(verdicts))}",
            ),
            (number(sum(measured.values())), "rows measured", f"in {len(measured)} datasets"),
            (
                number(len(dirty)),
                "rules with dirty rows",
                "within what is tolerated; jobs leave such rows out",
            ),
            (
                number(len(blocked)),
                "days with a closed gate",
                f"of {len(checked)} {'day' if len(checked) == 1 else 'days'} checked",
            ),
            (
                badge(GUARD_STATES.get(kept, "crashed"), GUARD_WORDS.get(kept, "unknown")) if guard else "–",
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

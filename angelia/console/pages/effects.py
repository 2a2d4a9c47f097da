"""Effects: lift over nights, channels' health, experiments, reports and quality."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Form, Response

from angelia.asking import over_nights
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.planned import effects, nights
from angelia.contracts.sources import NAME
from angelia.days import parse_day
from angelia.errors import AngeliaError, Corrupt

PAGE = Page("effects", "Effects", order=70)
DAG = "effects_over"
SPAN_DAYS = 28


@PAGE.get()
def overview(desk: Desk, ds: str = "") -> Response:
    """Show effects over nights, and one night's counts; the newest unless `ds` names another."""
    return _show(desk, ds, {}, {}, is_checked=False)


@PAGE.post(role=Role.OPERATOR)
def ask(
    desk: Desk,
    first: Annotated[str, Form()] = "",
    last: Annotated[str, Form()] = "",
    conversion: Annotated[str, Form()] = "",
) -> Response:
    """Check a span of nights; the page then asks Airflow to compare them."""
    typed = {"first": first, "last": last, "conversion": conversion}
    problems = {}
    for name in ("first", "last"):
        try:
            parse_day("the night", typed[name])
        except AngeliaError as error:
            problems[name] = f"{error.message}; {error.fix}"
    if not problems and last < first:
        problems["last"] = "the last night is before the first"
    every = [leaf["ds"] for leaf in desk.engine.lake().partitions("decisions")]
    if not problems and not any(first <= night <= last for night in every):
        problems["last"] = "none of these nights has a plan"
    if not re.fullmatch(NAME, conversion):
        problems["conversion"] = "give an event type that events carry, such as purchase"
    return _show(desk, "", typed, problems, is_checked=True)


def _show(
    desk: DeskNow, ds: str, typed: Mapping[str, str], problems: Mapping[str, str], *, is_checked: bool
) -> Response:
    lake = desk.engine.lake()
    planned, days = nights.planned(lake), effects.counted_nights(lake)
    day = nights.named(lake, "campaign_effects", ds, days, "has no counts: no report was made of it")
    rows = effects.rows_of(desk.engine, lake, day) if day else []
    kept, problem = None, None
    try:
        kept = over_nights.newest(lake, planned)
    except Corrupt as error:
        # One damaged file must not take the page: the figures of other nights do not depend on it.
        problem = error
    conf = dict(typed) if is_checked and not problems else {}
    words = ["angelia", "effects", "over", "--from", "{first}", "--to", "{last}", "--conversion"]
    return desk.show(
        "effects.html",
        status=400 if problems else 200,
        title="Effects",
        days=days,
        day=day,
        written=effects.written(desk.engine.settings, sorted({*planned, *days}, reverse=True)),
        channels=effects.by(rows, "channel"),
        campaigns=effects.by(rows, "campaign_id"),
        experiments=effects.experiments(rows),
        health=effects.health(desk.engine, lake, days) if len(days) > 1 else "",
        kept=kept,
        kept_problem=problem,
        lifts=effects.lift_charts(kept) if kept else [],
        planned=planned,
        typed=typed or _default_span(planned),
        problems=problems,
        is_checked=is_checked,
        conf=conf,
        command=shlex.join([word.format(**conf) for word in words] + [conf["conversion"]]) if conf else "",
        dag=DAG,
        run=f"over_{datetime.now(UTC):%Y%m%dT%H%M%S}",
    )


def _default_span(planned: list[str]) -> dict[str, str]:
    last = planned[0] if planned else ""
    first = (date.fromisoformat(last) - timedelta(days=SPAN_DAYS - 1)).isoformat() if last else ""
    return {"first": max(first, planned[-1]) if planned else "", "last": last, "conversion": "purchase"}


@PAGE.get("/report/{ds}")
def report(desk: Desk, ds: str) -> Response:
    """Show a night's report inside the navigation."""
    return _inside(desk, ds, is_quality=False)


@PAGE.get("/quality/{ds}")
def quality(desk: Desk, ds: str) -> Response:
    """Show a night's data quality inside the navigation."""
    return _inside(desk, ds, is_quality=True)


def _inside(desk: DeskNow, ds: str, *, is_quality: bool) -> Response:
    day = parse_day("the night", ds).isoformat()
    head, body = effects.page_inside(desk.engine.settings, day, desk.root, is_quality=is_quality)
    what = "Quality" if is_quality else "Report"
    return desk.show(
        "report.html",
        title=f"{what} of {day}",
        day=day,
        what=what,
        other="report" if is_quality else "quality",
        has_other=effects.written(desk.engine.settings, [day])[day][0 if is_quality else 1],
        head=head,
        body=body,
    )

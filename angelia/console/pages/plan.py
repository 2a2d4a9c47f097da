"""Plan: a night's hours, prices, campaigns and reasons.

Two nights are compared, and what-ifs are asked here and solved by the DAG `plan_whatif`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import Request, Response

from angelia.asking import kept
from angelia.console.access import Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.planned import nights, questions
from angelia.contracts.outcomes import DECIDED
from angelia.days import parse_day
from angelia.drawing.page import legend
from angelia.errors import NotFound
from angelia.lake import Lake

PAGE = Page("plan", "Plan", order=35)
DAG = "plan_whatif"
NO_PLAN = "has no plan"


@PAGE.get()
def plan(desk: Desk, ds: str = "") -> Response:
    """Show one night's plan; the newest unless `ds` names another."""
    lake = desk.engine.lake()
    days = nights.planned(lake)
    day = nights.named(lake, "decisions", ds, days, NO_PLAN)
    if not day:
        return desk.show("plan.html", title="Plan", days=days, plan=None)
    shown = nights.plan_of(desk.engine, lake, day)
    known, without = nights.plans_of(desk.engine, lake, [one for one in reversed(days) if one <= day])
    return desk.show(
        "plan.html",
        title="Plan",
        days=days,
        plan=shown,
        messages=sum(shown.by_campaign.values()),
        heat=nights.heat_map(shown),
        charts=[
            (channel, nights.hour_chart(channel), nights.price_chart(channel)) for channel in shown.channels
        ],
        key=legend([("s1", "capacity"), ("s2", "messages")]),
        reasons=sorted(shown.outcomes.items(), key=lambda pair: -pair[1]),
        decided=DECIDED,
        over=nights.over_nights(known),
        without=without,
        asked=_asked(desk, day),
    )


@PAGE.get("/compare")
def compare(desk: Desk, ds: str = "", other: str = "") -> Response:
    """Show two nights' plans side by side; the two newest unless named."""
    lake = desk.engine.lake()
    days = nights.planned(lake)
    b = nights.named(lake, "decisions", ds, days, NO_PLAN)
    older = [one for one in days if one < b]
    a = nights.named(lake, "decisions", other, days if other else older, NO_PLAN)
    if not a or not b:
        raise NotFound("fewer than two nights have a plan", fix="plan another night first")
    plans = [nights.plan_of(desk.engine, lake, one) for one in (a, b)]
    return desk.show(
        "plan_compare.html",
        title=f"{b} beside {a}",
        days=days,
        a=a,
        b=b,
        plans=plans,
        sides=nights.side_by_side(plans[0], plans[1], (a, b)),
        key=legend([("s1", a), ("s2", b)]),
        decided=DECIDED,
    )


@PAGE.get("/what-if", role=Role.OPERATOR)
def what_if(desk: Desk, ds: str = "") -> Response:
    """Show the form of a what-if with the night's own values."""
    days, day = _day(desk, ds)
    night = questions.night_of(desk.engine, desk.engine.lake(), day)
    return _form(desk, days, day, questions.form_of(night, {}), is_checked=False)


@PAGE.post("/what-if", role=Role.OPERATOR)
async def ask(desk: Desk, request: Request) -> Response:
    """Check a what-if; the page then asks Airflow to solve it."""
    from starlette.concurrency import run_in_threadpool

    form = await request.form(max_fields=5_000)
    typed = {name: value for name, value in form.items() if isinstance(value, str)}
    return await run_in_threadpool(_ask, desk, typed)


def _ask(desk: DeskNow, typed: dict[str, str]) -> Response:
    days, day = _day(desk, typed.pop("ds", ""))
    night = questions.night_of(desk.engine, desk.engine.lake(), day)
    return _form(desk, days, day, questions.form_of(night, typed), is_checked=True)


def _form(desk: DeskNow, days: list[str], day: str, form: questions.Form, *, is_checked: bool) -> Response:
    lake = desk.engine.lake()
    plan = lake.require("decisions", ds=day)
    name = kept.question(plan.ref, form.settings)
    return desk.show(
        "what_if.html",
        status=200 if form.is_sound else 400,
        title="What if",
        days=days,
        day=day,
        form=form,
        is_checked=is_checked,
        name=name,
        is_known=is_checked and form.is_sound and kept.load(lake, day, name) is not None,
        command=_command(day, form.settings),
        conf={"ds": day, "settings": dict(form.settings)},
        dag=DAG,
        run=f"whatif_{name}_{datetime.now(UTC):%Y%m%dT%H%M%S}",
        asked=_asked(desk, day),
    )


@PAGE.get("/what-if/{ds}/{name}")
def answer(desk: Desk, ds: str, name: str) -> Response:
    """Show the difference that settings make, or that it is still being solved."""
    lake = desk.engine.lake()
    day = parse_day("the night", ds).isoformat()
    kept_answer = kept.load(lake, day, name)
    plan = lake.require("decisions", ds=day)
    return desk.show(
        "what_if_answer.html",
        title="What if",
        day=day,
        name=name,
        dag=DAG,
        answer=kept_answer,
        is_newest=kept_answer is not None and kept_answer["plan"] == plan.ref,
        sides=questions.sides_of(kept_answer) if kept_answer else None,
        moves=questions.moves_of(kept_answer) if kept_answer else (),
        gaps=[kept_answer["certificates"][side].get("gap_pct") for side in ("plan", "what_if")]
        if kept_answer
        else (),
        key=legend([("s1", "plan"), ("s2", "what if")]),
        decided=DECIDED,
    )


def _day(desk: DeskNow, ds: str) -> tuple[list[str], str]:
    lake = desk.engine.lake()
    days = nights.planned(lake)
    if not days:
        raise NotFound("no night has a plan yet", fix="run nightly_personalization first")
    return days, nights.named(lake, "decisions", ds, days, NO_PLAN)


def _command(day: str, settings: Mapping[str, str]) -> str:
    words = [f"{name}={value}" for name, value in settings.items()]
    return shlex.join(
        ["angelia", "plan", "whatif", "--ds", day, *(part for one in words for part in ("--set", one))]
    )


def _asked(desk: DeskNow, day: str) -> list[tuple[str, str]]:
    """Return what was asked about a night and is answered: name, and the settings in words."""
    lake = desk.engine.lake()
    return [(name, _settings(desk, lake, day, name)) for name in kept.names(lake, day)]


def _settings(desk: DeskNow, lake: Lake, day: str, name: str) -> str:
    def words() -> str:
        kept_answer = kept.load(lake, day, name) or {}
        return (
            ", ".join(f"{key} = {value}" for key, value in kept_answer.get("settings", {}).items())
            or "nothing"
        )

    return desk.engine.kept(("what-if", lake.store.url, day, name), words)

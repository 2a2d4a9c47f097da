"""Replay past nights with changes, and resend what was not sent."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from angelia.console.access import BACKFILL, Role
from angelia.console.desk import Desk, DeskNow, Page
from angelia.console.dispatch import recent_nights
from angelia.console.planned import nights, questions, replays
from angelia.console.states import stops_of
from angelia.contracts.outcomes import DECIDED
from angelia.days import parse_day
from angelia.drawing.page import legend
from angelia.errors import AngeliaError, InvalidInput, NotFound
from angelia.planning.replay import branch_for, require_replayable

PAGE = Page("replay", "Replay", order=65)
FIELDS_AT_MOST = 5_000


@PAGE.get()
def replay(desk: Desk, first: str = "", last: str = "") -> Response:
    """Show the forms of a replay and of a resend, and the replays there are."""
    days = nights.planned(desk.engine.lake())
    chosen = {"first": first or (days[0] if days else ""), "last": last or (days[0] if days else "")}
    return _replay(desk, chosen, is_checked=False)


@PAGE.post(role=Role.OPERATOR)
async def ask(desk: Desk, request: Request) -> Response:
    """Check a replay; the page then asks Airflow for it."""
    form = await request.form(max_fields=FIELDS_AT_MOST)
    typed = {name: value for name, value in form.items() if isinstance(value, str)}
    return await run_in_threadpool(_replay, desk, typed, is_checked=True)


def _replay(desk: DeskNow, typed: Mapping[str, str], *, is_checked: bool) -> Response:
    lake = desk.engine.lake()
    days = nights.planned(lake)
    problems, span = _span(days, typed)
    form, changes, night = None, {}, None
    if days and not problems:
        try:
            night = questions.night_of(desk.engine, lake, span[0])
        except NotFound as error:
            # What it was made from has expired: the list of replays stands all the same.
            problems["first"] = error.message
    if night is not None:
        form = questions.form_of(night, typed if is_checked else {}, questions.may_be_replayed)
        if form.changed is not None:
            changes = questions.changes_of(night, form.changed)
            try:
                require_replayable(span, changes)
            except InvalidInput as error:
                problems["last"] = error.one_line()
    is_sound = not problems and form is not None and form.is_sound
    branch = branch_for(span, changes) if is_sound else ""
    conf = {"mode": "replay", "first": span[0], "last": span[-1], "changes": changes} if is_sound else {}
    words = ["angelia", "plan", "replay", "--from", span[0], "--to", span[-1]] if is_sound else []
    return desk.show(
        "replay.html",
        status=200 if is_sound or not is_checked else 400,
        title="Replay and resend",
        days=days,
        chosen=typed,
        problems=problems,
        form=form,
        is_checked=is_checked,
        is_sound=is_sound,
        changes=changes,
        branch=branch,
        is_known=bool(branch) and replays.require(lake, branch) is not None,
        conf=conf,
        command=shlex.join([*words, *(["--changes", json.dumps(changes)] if changes else [])]),
        dag=BACKFILL,
        run=f"{branch}_{datetime.now(UTC):%Y%m%dT%H%M%S}",
        replays=replays.replays(lake),
    )


@PAGE.get("/resend")
def resend(desk: Desk, run: str = "") -> Response:
    """Show the form of a resend, and where one that was asked for stands."""
    return _show_resend(desk, {}, (), is_checked=False, asked=run if run.startswith("resend_") else "")


@PAGE.post("/resend", role=Role.OPERATOR)
async def ask_resend(desk: Desk, request: Request) -> Response:
    """Check a resend; the page then asks Airflow for it, which counts and asks a person."""
    form = await request.form(max_fields=FIELDS_AT_MOST)
    typed = {name: value for name, value in form.items() if isinstance(value, str)}
    picked = [value for value in form.getlist("campaign") if isinstance(value, str)]
    return await run_in_threadpool(_show_resend, desk, typed, picked, is_checked=True, asked="")


def _show_resend(
    desk: DeskNow, typed: Mapping[str, str], picked: Sequence[str], *, is_checked: bool, asked: str
) -> Response:
    values = _resend(desk, typed, picked)
    lake = desk.engine.lake()
    problems: dict[str, str] = {}
    span: list[str] = []
    if is_checked:
        problems, span = _span(values["nights"], typed)
        known = set(values["campaigns"])
        # The worker sends nothing of a stopped campaign: its resend would end without a message.
        stopped = sorted(set(picked) & set(stops_of(lake)))
        if not picked:
            problems["campaign"] = "choose at least one campaign"
        elif unknown := sorted(set(picked) - known):
            problems["campaign"] = f"these nights send nothing of {', '.join(unknown)[:200]}"
        elif stopped:
            problems["campaign"] = f"{', '.join(stopped)} is stopped; resume it first, if it is to go on"
    is_sound = is_checked and not problems
    run = f"resend_{datetime.now(UTC):%Y%m%dT%H%M%S}"
    words = ["angelia", "ledger", "resend", "--from", *span[:1], "--to", *span[-1:], "--campaigns"]
    return desk.show(
        "resend.html",
        status=400 if is_checked and problems else 200,
        title="Resend",
        problems=problems,
        is_sound=is_sound,
        conf={"mode": "resend", "first": span[0], "last": span[-1], "campaigns": list(picked)}
        if is_sound
        else {},
        command=shlex.join([*words, ",".join(picked)]) if is_sound else "",
        dag=BACKFILL,
        run=run,
        asked=asked,
        **values,
    )


def _resend(desk: DeskNow, typed: Mapping[str, str], picked: Sequence[str]) -> dict[str, Any]:
    """Return the nights with manifests, and the campaigns they send."""
    lake = desk.engine.lake()
    days = recent_nights(lake)
    plans, _ = nights.plans_of(desk.engine, lake, [ds for ds in days if lake.head("decisions", ds=ds)])
    campaigns = sorted({name for plan in plans for name, n in plan.by_campaign.items() if n})
    first = typed.get("first") or (days[0] if days else "")
    return {
        "nights": days,
        "campaigns": campaigns,
        "picked": set(picked),
        "resend_first": first,
        "resend_last": typed.get("last") or first,
    }


@PAGE.get("/{branch}")
def compared(desk: Desk, branch: str) -> Response:
    """Show a replay beside main, or that it is still being decided."""
    lake = desk.engine.lake()
    made = replays.require(lake, branch)
    shown, problem = [], None
    try:
        shown = replays.nights(desk.engine, lake, made) if made else []
    except AngeliaError as error:
        problem = error
    return desk.show(
        "replay_compared.html",
        title="Replay",
        branch=branch,
        made=made,
        nights=shown,
        problem=problem,
        dag=BACKFILL,
        key=legend([("s1", "main"), ("s2", "replay")]),
        decided=DECIDED,
    )


def _span(known: Sequence[str], typed: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return problems by field, and the nights from first to last that there are."""
    problems: dict[str, str] = {}
    for name in ("first", "last"):
        try:
            day = parse_day("the night", typed.get(name, "")).isoformat()
        except AngeliaError as error:
            problems[name] = error.message
            continue
        if day not in known:
            problems[name] = "this night has no plan" if known else "no night has a plan yet"
    if not problems and typed["last"] < typed["first"]:
        problems["last"] = "the last night is before the first"
    if problems:
        return problems, []
    return {}, [day for day in sorted(known) if typed["first"] <= day <= typed["last"]]

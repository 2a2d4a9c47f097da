"""Today: what is sent, how far it is, what waits for an answer, what failed."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Response
from fastapi.responses import JSONResponse

from angelia.console.desk import Desk, Page
from angelia.console.dispatch import OUTCOMES, Dispatch, DispatchCell, dispatch_of, recent_nights
from angelia.console.failures import failures, log_path
from angelia.console.planned.nights import named
from angelia.console.states import CURRENT, look_at, newest_plan, stops_of
from angelia.console.words import hour
from angelia.contracts.certificate import Limit, limits_of
from angelia.contracts.outcomes import ACCEPTED, DECIDED
from angelia.drawing.charts import Series, columns
from angelia.drawing.page import legend
from angelia.errors import InvalidInput, NotFound
from angelia.lake import Commit, Lake

PAGE = Page("today", "Today", order=10)
SCARCE_AT_MOST = 5


@PAGE.get()
def today(desk: Desk, ds: str = "", channel: str = "", campaign: str = "") -> Response:
    """Show one night's dispatch; the newest unless `ds` names another."""
    lake = desk.engine.lake()
    days, day = _night(lake, ds)
    dispatch, problem = look_at(desk.engine, lake, day) if day else (None, None)
    plan = lake.head("decisions", ds=day) if day else newest_plan(lake)
    newest = newest_plan(lake)
    failed, unread = failures(log_path(desk.engine.settings), desk.engine.now())
    channels = sorted({cell.channel for cell in dispatch.cells}) if dispatch else []
    campaigns = sorted({cell.campaign_id for cell in dispatch.cells}) if dispatch else []
    # A filter that names nothing would show an empty night, which reads as: nothing is sent.
    for given, known, what in ((channel, channels, "channel"), (campaign, campaigns, "campaign")):
        if given and given not in known:
            raise InvalidInput(f"the night {day} sends nothing of this {what}", fix="choose one of the list")
    cells = [
        cell
        for cell in (dispatch.cells if dispatch else ())
        if channel in ("", cell.channel) and campaign in ("", cell.campaign_id)
    ]
    return desk.show(
        "today.html",
        title="Today",
        day=day,
        days=days,
        channel=channel,
        channels=channels,
        campaign=campaign,
        campaigns=campaigns,
        dispatch=dispatch,
        problem=problem,
        is_old=_is_old(dispatch),
        cells=cells,
        outcomes=OUTCOMES,
        to_go=dispatch.seconds_to_go(cells) if dispatch else None,
        chart=_chart(dispatch, cells) if dispatch else "",
        key=legend([("s1", "messages planned"), ("s2", "accepted by the provider")]),
        plan=plan,
        unsent_plan=_ahead(newest, day),
        decided=DECIDED,
        scarce=_scarce(plan),
        failed=failed,
        unread=unread,
        stops=stops_of(lake),
    )


@PAGE.get("/totals")
def totals(desk: Desk, ds: str = "") -> Response:
    """Return the totals of `angelia ledger status`, for who watches them."""
    lake = desk.engine.lake()
    _, day = _night(lake, ds)
    if not day:
        raise NotFound("no night has manifests yet", fix="run the nightly DAG")
    dispatch = dispatch_of(desk.engine, lake, day)
    names = ("ds", "parts", "parts_done", "rows", "open_intents", "rows_intended", "rows_open")
    values = {name: getattr(dispatch, name) for name in names}
    return JSONResponse({**values, "outcomes": dict(sorted(dispatch.outcomes.items()))})


def _night(lake: Lake, ds: str) -> tuple[list[str], str]:
    """Return the recent nights, and the one asked for: the newest unless named."""
    days = recent_nights(lake)
    return days, named(lake, "dispatch_manifest", ds, days, "has no manifests: nothing of it is sent")


def _chart(dispatch: Dispatch, cells: Sequence[DispatchCell]) -> str:
    hours = dispatch.by("send_hour", cells)
    planned = Series("planned", [tally.planned for tally in hours], "s1")
    accepted = Series("accepted", [tally.outcomes.get(ACCEPTED, 0) for tally in hours], "s2")
    labels, days = [tally.label[11:] for tally in hours], [hour(tally.label)[:6] for tally in hours]
    return columns(labels, [planned, accepted], "Messages by hour (UTC)", mark=days) if hours else ""


def _ahead(newest: Commit | None, day: str) -> Commit | None:
    """Return the newest plan where it is younger than the manifests shown."""
    return newest if newest is not None and newest.partition["ds"] > day else None


def _is_old(dispatch: Dispatch | None) -> bool:
    """Return whether another night should have been planned since."""
    hours = [cell.send_hour for cell in dispatch.cells] if dispatch else []
    return bool(dispatch and hours and max(hours) < f"{dispatch.now - CURRENT:%Y-%m-%dT%H}")


def _scarce(plan: Commit | None) -> list[Limit]:
    """Return the limits with the highest prices."""
    limits = [limit for limit in limits_of(plan.meta) if limit.price_micros] if plan else []
    return sorted(limits, key=lambda limit: -limit.price_micros)[:SCARCE_AT_MOST]

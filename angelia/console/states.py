"""Where each campaign stands, and why: never just "finished" while people went unsent.

Grain: campaign. Reads the catalog, the log `stops`, the newest plan with the guard's verdict on it, and the
dispatch of the newest manifests. Writes nothing. The first of these that holds gives the state: stopped,
ended, not begun, held back or waiting for approval, running, nothing planned, due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow.compute as pc

from angelia.catalog.document_parts import Trigger
from angelia.catalog.documents import Campaign
from angelia.catalog.store import Head
from angelia.console.dispatch import Dispatch, Tally, dispatch_of, nights
from angelia.console.engine import Engine
from angelia.console.words import count, instant
from angelia.contracts.certificate import messages_of
from angelia.contracts.outcomes import ACCEPTED, DECIDED, SENT
from angelia.errors import AngeliaError, Corrupt, NotFound
from angelia.lake import Commit, Lake, numbered
from angelia.planning.verdict import TOPIC
from angelia.users.suppressions import Held

LOOK_AHEAD_DAYS = 400
CURRENT = timedelta(hours=30)  # after the last hour of a night another is due

STOPPED, ENDED, DUE = "stopped", "ended", "due"
WAITING, HELD, RUNNING, NOTHING = "waiting for approval", "held back", "running", "nothing planned"


@dataclass(frozen=True)
class Stop:
    """Who stopped a campaign, when and why."""

    actor: str
    at_ts: datetime
    reason: str


@dataclass(frozen=True)
class CampaignStanding:
    """One campaign as an operator sees it."""

    campaign: Campaign
    head: Head
    state: str
    why: str
    next_day: date | None
    tally: Tally | None
    opened: int | None
    stop: Stop | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether workers leave it alone."""
        return self.stop is not None


@dataclass(frozen=True)
class NightState:
    """What the newest plan and manifests say, read once for all campaigns."""

    today: date
    plan: Commit | None
    verdict: Mapping[str, Any]
    dispatch: Dispatch | None
    manifest: Commit | None
    opened: Mapping[str, int]
    stops: Mapping[str, Stop]
    problem: AngeliaError | None = None

    @property
    def is_current(self) -> bool:
        """Whether the dispatch's hours are not long over."""
        hours = [cell.send_hour for cell in self.dispatch.cells] if self.dispatch else []
        if not self.dispatch or not hours:
            return False
        last = datetime.strptime(max(hours), "%Y-%m-%dT%H").replace(tzinfo=UTC)
        return self.dispatch.now - last < CURRENT

    @cached_property
    def tallies(self) -> Mapping[str, Tally]:
        """The dispatch by campaign."""
        by_campaign = self.dispatch.by("campaign_id", self.dispatch.cells) if self.dispatch else []
        return {tally.label: tally for tally in by_campaign}

    @property
    def is_emitted(self) -> bool:
        """Whether the newest plan has manifests."""
        return bool(self.plan and self.manifest and self.plan.citation() in self.manifest.inputs)


def stops_of(lake: Lake) -> dict[str, Stop]:
    """Return the campaigns that are stopped now, by the order of the log."""
    return {name: stop for (name, channel), stop in holds_of(lake).items() if channel is None}


def pauses_of(lake: Lake, campaign: str) -> dict[str, Stop]:
    """Return the channels on which a campaign is paused now."""
    return {
        channel: stop
        for (name, channel), stop in holds_of(lake).items()
        if name == campaign and channel is not None
    }


def holds_of(lake: Lake) -> dict[Held, Stop]:
    """Return what is stopped or paused: (campaign, channel or None for all) -> who, when, why."""
    standing: dict[Held, Stop] = {}
    for entry in lake.read_log("stops").to_pylist():
        key = entry["campaign_id"], entry.get("channel")
        if entry["action"] == "stop":
            standing[key] = Stop(entry["actor"], entry["at_ts"], entry["reason"] or "")
        else:
            standing.pop(key, None)
    return standing


def newest_plan(lake: Lake) -> Commit | None:
    """Return the newest plan of main."""
    days = [leaf["ds"] for leaf in lake.partitions("decisions")]
    return lake.head("decisions", ds=max(days)) if days else None


def night_of(engine: Engine, lake: Lake) -> NightState:
    """Return what the newest plan and manifests say.

    `problem` is set where the ledger is damaged.

    Raises:
        Corrupt: a commit or a verdict is damaged.
    """
    plan, days = newest_plan(lake), nights(lake)
    ds = days[0] if days else None
    stored = numbered.load(lake, TOPIC, plan.partition["ds"]) if plan else None
    verdict = stored[1] if stored and isinstance(stored[1], dict) else {}
    if plan and verdict.get("decisions") not in (plan.citation(), plan.ref):
        verdict = {}
    dispatch, problem = look_at(engine, lake, ds) if ds else (None, None)
    return NightState(
        engine.now().date(),
        plan,
        verdict,
        dispatch,
        lake.head("dispatch_manifest", ds=ds) if ds else None,
        opened_of(engine, lake, ds) if ds else {},
        stops_of(lake),
        problem,
    )


def look_at(engine: Engine, lake: Lake, ds: str) -> tuple[Dispatch | None, AngeliaError | None]:
    """Return where a night's dispatch stands, or why that cannot be counted."""
    try:
        return dispatch_of(engine, lake, ds), None
    except (Corrupt, NotFound) as error:
        return None, error


def opened_of(engine: Engine, lake: Lake, ds: str) -> Mapping[str, int]:
    """Return how many messages of a plan were opened, by campaign; a message counts once."""
    heads = [
        commit
        for leaf in lake.partitions("push_receipts", ds=ds)
        if leaf["source"] != "worker" and (commit := lake.head("push_receipts", **leaf))
    ]

    def look() -> Mapping[str, int]:
        seen: dict[str, set[str]] = {}
        for commit in heads:
            for entry in commit.files:
                table = lake.read_file(entry, ["campaign_id", "message_id", "kind"])
                table = table.filter(pc.equal(table["kind"], "opened"))
                for row in table.group_by(["campaign_id", "message_id"]).aggregate([]).to_pylist():
                    seen.setdefault(row["campaign_id"], set()).add(row["message_id"])
        return {campaign: len(messages) for campaign, messages in seen.items()}

    return engine.kept(("opened", lake.store.url, *(commit.ref for commit in heads)), look)


def reasons_of(engine: Engine, lake: Lake, plan: Commit) -> Mapping[str, Mapping[str, int]]:
    """Return what a plan decided for the people considered: counts by campaign and outcome."""

    def look() -> Mapping[str, Mapping[str, int]]:
        totals: dict[str, Counter[str]] = {}
        for entry in plan.files:
            choices = pc.list_flatten(lake.read_file(entry, ["choices"])["choices"])
            if not len(choices):
                continue
            pairs = pc.binary_join_element_wise(
                pc.struct_field(choices, "campaign_id"), pc.struct_field(choices, "outcome"), " "
            )
            for item in pc.value_counts(pairs).to_pylist():
                campaign, _, outcome = item["values"].partition(" ")
                totals.setdefault(campaign, Counter())[outcome] += item["counts"]
        return totals

    return engine.kept(("reasons", lake.store.url, plan.citation()), look)


def standing_of(engine: Engine, lake: Lake, head: Head, night: NightState) -> CampaignStanding:
    """Return where one campaign stands."""
    campaign = head.document
    assert isinstance(campaign, Campaign)
    tally = night.tallies.get(campaign.id)
    state, why = _state(engine, lake, campaign, night, tally)
    return CampaignStanding(
        campaign,
        head,
        state,
        why,
        next_day(campaign, night.today) if state not in (STOPPED, ENDED) and not campaign.trigger else None,
        tally,
        night.opened.get(campaign.id, 0) if tally else None,
        night.stops.get(campaign.id),
    )


def next_day(campaign: Campaign, today: date) -> date | None:
    """Return the next day after today on which a campaign may come; None if there is none."""
    first = max(today + timedelta(days=1), campaign.start_date)
    days = (first + timedelta(days=n) for n in range(LOOK_AHEAD_DAYS))
    return next((day for day in days if campaign.occurrence_on(day) is not None), None)


def _state(
    engine: Engine, lake: Lake, campaign: Campaign, night: NightState, tally: Tally | None
) -> tuple[str, str]:
    stop = night.stops.get(campaign.id)
    if stop is not None:
        unsent = f"; {count(tally.open)} planned messages are unsent" if tally and tally.open else ""
        return STOPPED, f"by {stop.actor}, {instant(stop.at_ts)}: {stop.reason or 'no reason given'}{unsent}"
    if campaign.end_date < night.today:
        unsent = f"; {count(tally.open)} of its last messages went unsent" if tally and tally.open else ""
        return ENDED, f"its last day was {campaign.end_date}{unsent}"
    if campaign.start_date > night.today:
        return DUE, f"begins on {campaign.start_date}"
    if campaign.trigger is not None:
        return RUNNING, _waits_for(campaign.trigger)
    held = _held(campaign, night)
    if held is not None:
        return held
    if tally is not None and night.is_current:
        return RUNNING, _running(tally)
    if tally is not None and night.dispatch and (night.plan is None or night.is_emitted):
        return DUE, f"last in the night {night.dispatch.ds}: {_running(tally)}; no night was planned since"
    return _nothing(engine, lake, campaign, night)


def _waits_for(trigger: Trigger) -> str:
    unless = (
        f" unless {trigger.without} follows within {trigger.within_minutes} min" if trigger.without else ""
    )
    return f"set off by {trigger.event}{unless}; in no night's plan, its messages are the intake's"


def _held(campaign: Campaign, night: NightState) -> tuple[str, str] | None:
    """Return that and why the guard keeps the newest messages back; None if it does not."""
    plan, verdict = night.plan, night.verdict
    kind, held = verdict.get("verdict"), campaign.id in verdict.get("held", ())
    if plan is None or not (held or kind == "night"):
        return None
    ds = plan.partition["ds"]
    about = [
        str(breach["says"])
        for breach in verdict.get("breaches", ())
        if campaign.id in breach["campaigns"] or breach["severity"] == "night"
    ]
    says = "; ".join(about) or "the guard holds the night back"
    if not night.is_emitted:
        return WAITING, f"night {ds}: {says}"
    left_out = night.manifest.params.get("held_back", ()) if night.manifest else ()
    return (HELD, f"left out of the night {ds}: {says}") if campaign.id in left_out else None


def _running(tally: Tally) -> str:
    sent = f"{count(tally.outcomes.get(ACCEPTED, 0))} of {count(tally.planned)} sent"
    if not tally.open:
        return sent
    where = {
        "sending": f"{count(tally.open)} to go",
        "unsent": f"{count(tally.open)} went unsent: their hours have passed",
        "later": f"{count(tally.open)} later",
    }
    return f"{sent}, {where[tally.state]}"


def _nothing(engine: Engine, lake: Lake, campaign: Campaign, night: NightState) -> tuple[str, str]:
    """Return why the newest plan has no message of the campaign."""
    if night.plan is None:
        return DUE, "no night has been planned yet"
    ds = night.plan.partition["ds"]
    planned = sum(cell.n for cell in messages_of(night.plan.meta) if cell.campaign_id == campaign.id)
    if planned and not night.is_emitted:
        return DUE, f"{count(planned)} planned in the night {ds}, manifests are not written yet"
    first = datetime.fromisoformat(night.plan.meta["start"]).date()
    # The local days of a plan's 24 hours, somewhere on Earth.
    days = [first + timedelta(days=shift) for shift in (-1, 0, 1)]
    if not any(campaign.occurrence_on(day) for day in days):
        return DUE, f"does not come on {first}"
    reasons = Counter(reasons_of(engine, lake, night.plan).get(campaign.id, {}))
    reasons.pop(SENT, None)
    if not reasons:
        return (
            NOTHING,
            f"night {ds} considered nobody: audience {campaign.audience} was empty, or this is newer",
        )
    # The number last: a reason that begins with "other messages" would read as so many messages.
    top = "; ".join(f"{DECIDED.get(name, name)} ({count(n)})" for name, n in reasons.most_common(3))
    return NOTHING, f"night {ds} considered {count(sum(reasons.values()))} people: {top}"

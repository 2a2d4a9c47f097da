"""Guardrails between a plan and its manifests: is it what a person would expect tonight?

Grain: night. Reads decisions, audience_members, user_features, the catalog snapshot and the figures of
    earlier nights; writes this night's figures and breaches to `quality/{branch}/{ds}/guard/{n}.json`. The
    gate `plan` says whether the plan is *valid* (nobody who refused, nobody suppressed); the guard, whether
    it is *plausible*. A breach holds back a campaign or the whole night until a person has seen the numbers;
    a guard that could not measure or judge has *crashed*: then nobody knows, nothing is emitted, and that is
    no breach. Surprise: volumes, sizes and scores are compared with the median of earlier nights,
    so they say `no history` for the first seven. A campaign that does not run alike every night is compared
    with nights of the same weekday, since on its off-days only stragglers are planned. Of a campaign that
    should send and plans nothing there is nothing to hold back, so nobody is asked: the verdict is `missing`,
    and everything is emitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

import duckdb

from angelia import logs
from angelia.catalog.documents import Campaign
from angelia.errors import AngeliaError, Corrupt, GateClosed, NotFound
from angelia.lake import Commit, Lake, numbered
from angelia.output import percent
from angelia.planning.guard_figures import NightFigures, PlanCommits, measure
from angelia.planning.verdict import TOPIC, identified, refused_line
from angelia.quality.gates import short
from angelia.quality.judged import judged_lake

FACTOR = 10.0  # a volume or size this many times the median of earlier nights, or that fraction of it
DRIFT = 2.0  # a campaign's mean p(open) this many times the median, or that fraction of it
NIGHTS = 7  # nights that history needs; the last so many are compared with
LOOK_BACK_DAYS = 28  # how far back they are looked for
CAMPAIGN_NIGHTS = 3  # nights a campaign must have sent on before its own volume is compared
SCORED_LEAST = 100  # messages whose mean p(open) says something: a handful of stragglers differ by chance
UNKNOWN_TIMEZONES_PCT = 20.0
UNRENDERED_PCT = 1.0  # of the sampled messages of a campaign: so many may fail

_CRASHES = (AngeliaError, duckdb.Error, OSError, LookupError, ValueError, TypeError)


@dataclass(frozen=True)
class Breach:
    """One figure out of bounds: `campaigns` are held back, or the whole night.

    The whole night is where the severity is `night`.
    """

    check: str
    severity: str
    campaigns: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Running:
    """What the guard knows of a campaign that the plan may send.

    Attributes:
        audience: whom it addresses.
        is_nightly: whether one night of it is like the other.
        needs_approval: whether a person must agree each time.
        is_due: whether planning nothing would be strange if it usually sends: it runs on the day planned, and
            not only once.
    """

    audience: str
    is_nightly: bool = True
    needs_approval: bool = False
    is_due: bool = True


def is_nightly(campaign: Campaign) -> bool:
    """Return whether one night of a campaign is like the other.

    It runs every day, a person may get it on each, and its messages wait for no better one.
    """
    occurrence = campaign.occurrence
    return occurrence.every == "daily" and occurrence.weekdays is None and not campaign.postpone_nights


def is_due(campaign: Campaign, day: date) -> bool:
    """Return whether a campaign runs on the day planned.

    A campaign that comes once runs dry, as it should.
    """
    return campaign.occurrence.every != "once" and campaign.occurrence_on(day) is not None


def judge(
    ds: str, figures: NightFigures, history: Mapping[str, NightFigures], running: Mapping[str, Running]
) -> list[Breach]:
    """Return what a person should see first, the night's own before the campaigns'. Pure.

    Args:
        ds: the night.
        figures: of this night.
        history: of earlier nights, by ds; compared with only if there are at least `NIGHTS`.
        running: campaigns that may send, by id.
    """
    breaches = []
    if figures.unknown_timezones_pct > UNKNOWN_TIMEZONES_PCT:
        says = (
            f"{percent(figures.unknown_timezones_pct)} of people have no known timezone, at most "
            f"{UNKNOWN_TIMEZONES_PCT:g} % are allowed"
        )
        breaches.append(Breach("timezones", "night", (), says))
    # Fewer nights than that have no usual figure: every second campaign would stand out.
    if len(history) >= NIGHTS:
        breaches += _against_history(ds, figures, history, running)
    for campaign, its in sorted(running.items()):
        if figures.audiences.get(its.audience) == 0:
            breaches.append(
                Breach(
                    "audience_empty",
                    "campaign",
                    (campaign,),
                    f"audience {its.audience} of campaign {campaign} is empty",
                )
            )
        count = figures.messages.get(campaign)
        # Nothing planned is nothing to approve: a question about no message would only teach people to click.
        if its.needs_approval and count:
            breaches.append(
                Breach(
                    "approval_required",
                    "campaign",
                    (campaign,),
                    f"{campaign} asks for approval: {count:,} messages planned",
                )
            )
    for campaign, reasons in sorted(figures.unrendered.items()):
        bad, of = sum(reasons.values()), figures.rendered.get(campaign, 0)
        # Multiplied, not divided: a campaign of which nothing was sampled has no share.
        if bad * 100.0 > of * UNRENDERED_PCT:
            named = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
            breaches.append(
                Breach(
                    "rendering",
                    "campaign",
                    (campaign,),
                    f"{bad} of {of} sampled messages of {campaign} cannot be rendered: {named}",
                )
            )
    for campaign, reasons in sorted(figures.refused.items()):
        bad, of = sum(reasons.values()), figures.rendered.get(campaign, 0)
        if bad * 100.0 > of * UNRENDERED_PCT:
            breaches.append(
                Breach("provider_limits", "campaign", (campaign,), refused_line(campaign, reasons, of))
            )
    return sorted(breaches, key=lambda breach: breach.severity != "night")


def _against_history(
    ds: str, figures: NightFigures, history: Mapping[str, NightFigures], running: Mapping[str, Running]
) -> list[Breach]:
    breaches = []
    last = [history[day] for day in sorted(history)[-NIGHTS:]]
    total, usual = sum(figures.messages.values()), median(sum(night.messages.values()) for night in last)
    if _is_off(total, usual, FACTOR):
        breaches.append(Breach("volume", "night", (), f"{total:,} messages planned, {usual:,.0f} is usual"))
    for campaign, its in sorted(running.items()):
        sent_on = [
            night for night in (last if its.is_nightly else history.values()) if night.messages.get(campaign)
        ]
        if len(sent_on) < CAMPAIGN_NIGHTS:
            continue
        planned, like = figures.messages.get(campaign, 0), sent_on
        if not its.is_nightly:
            like = [
                night
                for day, night in history.items()
                if night.messages.get(campaign) and _weekday(day) == _weekday(ds)
            ]
        if len(like) >= CAMPAIGN_NIGHTS:
            usual = median(night.messages[campaign] for night in like)
            # Nothing is compared as one message would be: where a few are usual, none is chance.
            if (planned or its.is_due) and _is_off(max(planned, 1), usual, FACTOR):
                days = "" if its.is_nightly else f" on a {_weekday(ds)}"
                says = f"{planned:,} messages of {campaign} planned, {usual:,.0f} is usual{days}"
                breaches.append(Breach("volume", "campaign", (campaign,), says))
        elif planned >= FACTOR * (most := max(night.messages[campaign] for night in sent_on)):
            # Too few nights like this one to say what is little; what is much can be said.
            says = (
                f"{planned:,} messages of {campaign} planned, {most:,} is the most of {len(sent_on)} nights"
            )
            breaches.append(Breach("volume", "campaign", (campaign,), says))
        size, usual = (
            figures.audiences.get(its.audience),
            median(night.audiences.get(its.audience, 0) for night in sent_on),
        )
        if size and _is_off(size, usual, FACTOR):
            says = f"audience {its.audience} of {campaign} holds {size:,}, {usual:,.0f} is usual"
            breaches.append(Breach("audience_size", "campaign", (campaign,), says))
        scored = [night for night in sent_on if night.messages[campaign] >= SCORED_LEAST]
        if planned >= SCORED_LEAST and len(scored) >= CAMPAIGN_NIGHTS:
            score, usual = (
                figures.mean_p_open.get(campaign, 0.0),
                median(night.mean_p_open.get(campaign, 0.0) for night in scored),
            )
            if _is_off(score, usual, DRIFT):
                breaches.append(
                    Breach(
                        "score_drift",
                        "campaign",
                        (campaign,),
                        f"mean p(open) of {campaign} is {score:.4f}, {usual:.4f} is usual",
                    )
                )
    return breaches


def _weekday(ds: str) -> str:
    return f"{date.fromisoformat(ds):%A}"


def _is_off(value: float, usual: float, factor: float) -> bool:
    return usual > 0 and not usual / factor < value < usual * factor


def guard(lake: Lake, ds: str) -> dict[str, Any]:
    """Measure and judge a night's plan, store both, and return them with what to do.

    Returns:
        `verdict`: `open`; `missing`: send the night, though campaigns that should be in it plan nothing;
        `campaigns`: send it without `held`, unless a person wants them; `night`: send nothing, unless a
        person wants it. `decisions` and `judged` cite what it looked at, and `verdict_id` is what an answer
        must name.

    Raises:
        NotFound: the night has no plan yet.
        GateClosed: a gate before it is closed, or the guard crashed: the plan may be good or bad. That is
            stored, too, as the verdict `crashed` without figures.
    """
    lake = judged_lake(lake, ds, ("sources", "features"), is_required=False)
    decisions = lake.require("decisions", ds=ds)
    try:
        result = identified({"ds": ds, "decisions": decisions.citation(), **_look(lake, decisions)})
    except _CRASHES as error:
        if isinstance(error, NotFound):
            raise  # a task that has not run yet: an operator's mistake, and the message says which
        message, fix = (error.message, error.fix) if isinstance(error, AngeliaError) else (short(error), None)
        crashed = {"ds": ds, "decisions": decisions.citation(), "verdict": "crashed", "error": message}
        numbered.store(lake, TOPIC, ds, identified(crashed))
        fix = fix or f"mend it, then run `angelia plan guard --ds {ds}` again"
        raise GateClosed(
            f"the guard of {ds} crashed ({message}): the plan may be good or bad, nothing is emitted from it",
            fix=fix,
        ) from error
    numbered.store(lake, TOPIC, ds, result)
    logs.took((), verdict=result["verdict"], held=result["held"], missing=result["missing"])
    return result


def _look(lake: Lake, decisions: Commit) -> dict[str, Any]:
    ds, plan = decisions.partition["ds"], PlanCommits.take(lake, decisions)
    figures, history = measure(lake, plan), _history(lake, ds)
    planned = datetime.fromisoformat(decisions.meta["start"]).date()
    running = {
        name: Running(
            campaign.audience,
            is_nightly(campaign),
            campaign.approval_required,
            is_due(campaign, planned),
        )
        # The local days of those 24 hours, somewhere on Earth: a campaign that is over, or has not begun, is
        # not missed.
        for name, campaign in plan.catalog.running(
            planned + timedelta(days=shift) for shift in (-1, 0, 1)
        ).items()
    }
    breaches = judge(ds, figures, history, running)
    named = sorted({name for breach in breaches for name in breach.campaigns})
    held = [name for name in named if figures.messages.get(name)]
    is_night = any(breach.severity == "night" for breach in breaches)
    return {
        "judged": {commit.dataset: [commit.citation()] for commit in plan.commits},
        "verdict": "night" if is_night else "campaigns" if held else "missing" if named else "open",
        "held": held,
        "missing": [name for name in named if name not in held],
        "breaches": [asdict(breach) for breach in breaches],
        "history": f"{len(history)} nights" if len(history) >= NIGHTS else "no history",
        "figures": asdict(figures),
    }


def _history(lake: Lake, ds: str) -> dict[str, NightFigures]:
    """Return the newest figures of the nights of main before `ds`.

    They go back as far as they are looked for. Replays are compared with what was sent.
    """
    nights: dict[str, NightFigures] = {}
    for back in range(1, LOOK_BACK_DAYS + 1):
        day = (date.fromisoformat(ds) - timedelta(days=back)).isoformat()
        again = f"run `angelia plan guard --ds {day}` again"
        try:
            stored = numbered.load(lake, TOPIC, day, branch="main")
        except Corrupt as error:
            raise Corrupt(error.message, fix=again) from None
        if stored is None:
            continue
        key, night = stored
        try:
            if night.get("verdict") != "crashed":
                nights[day] = NightFigures(**night["figures"])
        except (TypeError, KeyError, AttributeError):
            raise Corrupt(f"{key} holds no figures", fix=again) from None
    return nights

"""What `plan_dispatch` reads: the night's terms, and one shard from the lake.

Terms come from the catalog snapshot; a shard is its people, pairs and past.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from angelia.audience.members import read_members
from angelia.catalog.document_parts import WEEKDAYS
from angelia.catalog.documents import Campaign as CampaignDocument
from angelia.catalog.snapshot import Catalog
from angelia.contracts.arrow import by_ordinal
from angelia.contracts.ids import user_keys
from angelia.contracts.sending import OWN_HOURS, PLAN_HOURS, steady_per_minute
from angelia.delivery.manifest.served import served
from angelia.lake import Commit, Lake
from angelia.lake.cache import FETCH_THREADS
from angelia.planning.before import Past
from angelia.planning.eligibility import Pairs, ShardPeople, clock_hours
from angelia.planning.later import FELT_DAYS, Fatigue
from angelia.planning.offers import (
    CampaignOffer,
    MaterialFacts,
    draw_material,
    gather,
    lift_worth,
    may_show,
)
from angelia.planning.postponing import MaterialRows
from angelia.planning.postponing.ahead import prospects
from angelia.planning.reading import Blocks, PastSources, ShardRows, past_messages
from angelia.planning.terms import ArmTerms, CampaignTerms, CapTerms, ChannelTerms, Terms
from angelia.timing.category_hours import CategoryHours
from angelia.users.features import own_spans, refused_topics
from angelia.users.index import require_index

# Scores, curves and factors are read to so many binary places. Processors differ in the last of 52; what is
# rounded does not, nor do the plan's bytes.
SCORE_BITS, CURVE_BITS = 20, 16
# an ISO week, and a day on either side of it: local days begin up to 14 h before UTC's, and end up to 12 h
# after them
WEEK_DAYS = 9
WAIT_CYCLES = 4  # so many times as long as a daily message looks ahead, each person has a last night to wait


@dataclass(frozen=True)
class Inputs:
    """The commits a plan is made from.

    `pushes` may be empty on a first night. `previous` is last night's plan, which is still pending but for
    the campaigns `held` back from its manifests.
    """

    index: Commit
    features: Commit
    send_times: Commit
    audiences: Commit
    scores: Commit
    pushes: tuple[Commit, ...]
    previous: Commit | None
    held: tuple[str, ...] = ()
    intake: Commit | None = None  # marketing of the intake that uses room tonight

    def all(self) -> list[Commit]:
        """Return every commit, to be cited."""
        commits = [self.index, self.features, self.send_times, self.audiences, self.scores, *self.pushes]
        return [*commits, *(commit for commit in (self.previous, self.intake) if commit is not None)]


def find_inputs(lake: Lake, ds: str, days: int) -> Inputs:
    """Return the commits of night `ds`.

    Raises:
        NotFound: one is missing, naming the job that writes it.
    """
    day = date.fromisoformat(ds)
    before = (day - timedelta(days=1)).isoformat()
    manifest = lake.head("dispatch_manifest", ds=before)
    first = (day - timedelta(days=days - 1)).isoformat()
    # The days there are, not all there could be: a campaign that comes once asks for years.
    looker = lake.listed("user_pushes", first)
    recent = [leaf["ds"] for leaf in looker.partitions("user_pushes") if first <= leaf["ds"] <= ds]
    with ThreadPoolExecutor(FETCH_THREADS) as pool:
        pushes = pool.map(lambda day: looker.head("user_pushes", ds=day), reversed(recent))
    return Inputs(
        index=require_index(lake),
        features=lake.require("user_features", ds=ds),
        send_times=lake.require("send_times", ds=ds),
        audiences=lake.require("audience_members", ds=ds),
        scores=lake.require("material_scores", ds=ds),
        pushes=tuple(filter(None, pushes)),
        previous=plan_before(lake, ds),
        held=tuple(manifest.params.get("held_back", ())) if manifest is not None else (),
        intake=lake.head("intake_pending", ds=ds),
    )


def plan_before(lake: Lake, ds: str) -> Commit | None:
    """Return the plan of the night before `ds` that is sent, or None."""
    return served(lake, "decisions", (date.fromisoformat(ds) - timedelta(days=1)).isoformat())


def days_needed(terms: Terms, history_days: int) -> int:
    """Return how many days of pushes a plan must know.

    Those of every cap and of the gap, a week, and all since a campaign that comes once began.
    """
    day = date.fromisoformat(terms.ds)
    # Both ends count, and a local day may begin on the UTC day before.
    once = [
        (day - campaign.start_date).days + 2 for campaign in terms.campaigns if campaign.occurrence == "once"
    ]
    own = [cap.days for campaign in terms.campaigns for cap in campaign.caps]
    return max([history_days, WEEK_DAYS, _policy_days(terms), *own, *once])


def _policy_days(terms: Terms) -> int:
    """Return for how many days a message counts against those of other campaigns."""
    felt = FELT_DAYS + 1 if terms.prices_fatigue else 1
    return max([felt, -(-terms.gap_hours // 24), *(cap.days for cap in terms.caps)])


def plan_start(ds: str, lead_hours: int) -> datetime:
    """Return the first planned UTC hour of night `ds`."""
    return datetime.fromisoformat(ds).replace(tzinfo=UTC) + timedelta(hours=lead_hours)


def terms_of(
    catalog: Catalog, ds: str, lead_hours: int, skip_before: datetime | None, workers: int = 1
) -> Terms:
    """Return the night's terms; hours that end before `skip_before` are not planned."""
    start = plan_start(ds, lead_hours)
    days = [start.date() + timedelta(days=shift) for shift in (0, 1, -1)]
    late = timedelta() if skip_before is None else skip_before - start
    passed = min(PLAN_HOURS, max(0, int(late / timedelta(hours=1))))
    policy = catalog.policy
    return Terms(
        ds=ds,
        start=start,
        n_slots=PLAN_HOURS,
        first_slot=passed,
        campaigns=tuple(_campaign(catalog, each, days, workers) for each in catalog.running(days).values()),
        channels=tuple(
            ChannelTerms(
                c.id,
                c.cost_micros,
                # What leaves in an hour at the provider's pace is a limit like our own.
                min(c.capacity_per_hour, takes),
                tuple(sorted(c.max_per_vendor_day.items())),
                tuple(sorted((c.max_per_device_day or {}).items())),
                takes,
            )
            for _, c in sorted(catalog.channels.items())
            if c.enabled
            for takes in [int(60 * steady_per_minute(c.quota_per_minute, workers))]
        ),
        caps=tuple(CapTerms(cap.messages, cap.days) for cap in policy.caps),
        gap_hours=policy.min_gap_hours,
        quiet=None if policy.quiet_hours is None else (policy.quiet_hours.start, policy.quiet_hours.end),
        holdout_pct=policy.holdout.share_pct,
        holdout_salt=policy.holdout.salt,
        explore_pct=policy.explore.slot_share_pct,
        epsilon=policy.explore.epsilon,
        salt=policy.salt,
        fatigue_weight=policy.fatigue.weight,
        lost_days=policy.fatigue.horizon_days,
        refusal_opens=policy.fatigue.refusal_opens,
        refusals_at_most=policy.fatigue.refusals_at_most,
    )


def _campaign(catalog: Catalog, document: CampaignDocument, days: list[date], workers: int) -> CampaignTerms:
    experiment = catalog.experiments[document.experiment] if document.experiment else None
    weekdays, pace = document.occurrence.weekdays, document.speed_limit_per_minute
    occurrence, nights = _occurrence(document, days), document.postpone_nights or 0
    assert occurrence is not None, "a campaign that runs has an occurrence"
    # A night touches two local days: the first on which the campaign may occur names the occurrence.
    # Slots are hours, so a limit a minute counts as sixty of what it lets pass; the worker keeps the minute.
    return CampaignTerms(
        id=document.id,
        topic=document.topic,
        audience=document.audience,
        materials=document.materials,
        channels=document.channels,
        priority=document.priority,
        value_micros=document.value_micros,
        occurrence=occurrence,
        weekdays=frozenset(WEEKDAYS.index(name) for name in weekdays or ()),
        start_date=document.start_date,
        end_date=document.end_date,
        send_window=(w.start, w.end) if (w := document.send_window) else None,
        holdout_pct=document.holdout_pct,
        max_messages=document.budget.max_messages if document.budget else None,
        caps=tuple(CapTerms(cap.messages, cap.days) for cap in document.caps),
        is_exempt=document.is_transactional,
        min_messages=(document.budget.min_messages or 0) if document.budget else 0,
        max_per_hour=pace and int(60 * steady_per_minute(pace, workers)),
        salt=experiment.salt if experiment else "",
        arms=tuple(ArmTerms(arm.name, arm.share_pct, arm.materials) for arm in experiment.arms)
        if experiment
        else (),
        lift_micros=document.lift_micros,
        by_value=document.choose_channel is not None,
        canary=(document.canary.share_pct, document.canary.hours) if document.canary else None,
        wire_class=document.wire_class,
        is_nightly=document.occurrence.every == "daily"
        and not any(cap.messages < cap.days for cap in document.caps),
        later_nights=tuple(
            night
            for night in range(1, nights + 1)
            # Once and weekly campaigns wait within their occurrence; a daily one's caps make it wait anyway.
            if (key := _occurrence(document, [day + timedelta(days=night) for day in days])) == occurrence
            or (key is not None and document.occurrence.every == "daily")
        ),
        # A safety net: long beside the week that a message may look ahead, so that few ever meet it.
        wait_cycle=WAIT_CYCLES * (1 + nights) if nights and document.occurrence.every == "daily" else 0,
    )


def _occurrence(document: CampaignDocument, days: list[date]) -> str | None:
    """Return the occurrence of a night's local days, the first on which the campaign may go."""
    return next((key for key in map(document.occurrence_on, days) if key is not None), None)


@dataclass(frozen=True)
class ShardInputs:
    """One shard's arrays, and what was drawn for each pair.

    The material is None where none is eligible; beside it stand its propensity and what it was drawn from.
    """

    people: ShardPeople
    pairs: Pairs
    past: Past
    material: list[str | None]
    material_propensity: np.ndarray
    eligible: pa.BinaryArray  # bits over the campaign's materials (`offers.choice_sets`)
    offers: list[CampaignOffer]


def load_shard(
    lake: Lake,
    inputs: Inputs,
    terms: Terms,
    facts: MaterialFacts,
    shard: int,
    blocks: Blocks | None = None,
) -> ShardInputs:
    """Return one shard's people, their pairs with a drawn material, and their past messages.

    The past is what counts against caps. With `blocks` only the people of these are loaded.
    """
    read = ShardRows(lake, shard, int(inputs.index.meta["shard_bits"]), blocks)
    people = _people(read, inputs, terms)
    hours = category_hours(inputs)
    offers = read_offers(read, inputs, terms, facts, people, hours)
    start = np.datetime64(terms.start.replace(tzinfo=None), "us")
    # memory: older messages matter to their own campaign only
    for_all = (date.fromisoformat(terms.ds) - timedelta(days=_policy_days(terms))).isoformat()
    running = [one.id for one in terms.campaigns]
    sources = PastSources(inputs.pushes, for_all, running, inputs.previous, inputs.held, inputs.intake)
    by_channel = any(channel.max_per_device_day for channel in terms.channels)
    past = past_messages(read, sources, people.ordinal, people.user_id, start, by_channel=by_channel)
    night, clock = clock_hours(terms, people)
    drawn = [draw_material(terms, people, night, offer, facts, hours, clock) for offer in offers]
    pairs, material, propensity, eligible = gather(terms, offers, drawn, facts, hours)
    pairs = replace(pairs, fatigue=Fatigue.of(inputs.scores.meta))
    return ShardInputs(people, pairs, past, material, propensity, eligible, offers)


def to_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values rounded to so many binary places."""
    return np.asarray(np.rint(values * 2.0**bits) / 2.0**bits)


def category_hours(inputs: Inputs) -> CategoryHours:
    """Return how categories are opened by cell and weekday, as this night knows it."""
    hours = CategoryHours.of(inputs.send_times.meta)
    return CategoryHours(hours.row, to_bits(hours.factor, CURVE_BITS), to_bits(hours.weekday, CURVE_BITS))


def read_offers(
    read: ShardRows,
    inputs: Inputs,
    terms: Terms,
    facts: MaterialFacts,
    people: ShardPeople,
    hours: CategoryHours,
) -> list[CampaignOffer]:
    """Return who is in which campaign's audience, and the scores of the materials each may get.

    An experiment's arm sees its own materials only, people of other languages none that is made for certain
    ones, and nobody one that is not valid in any of their open hours.
    """
    scores = read.of(inputs.scores)
    members = read_members(read.lake, inputs.audiences, read.shard, {c.audience for c in terms.campaigns})
    night = clock_hours(terms, people)
    doubt: Mapping[str, float] = inputs.scores.meta.get("doubt") or {}
    offers = []
    for k, campaign in enumerate(terms.campaigns):
        wanted = np.fromiter(members.get(campaign.audience, BitMap()), np.uint32)
        rows = np.searchsorted(people.ordinal, wanted)
        # The index may know people since the audiences were made; a shard's people are the features'.
        known = rows < len(people.ordinal)
        known[known] = people.ordinal[rows[known]] == wanted[known]
        rows = rows[known]
        if not len(rows):
            continue
        grid = _score_grid(scores, campaign, people.ordinal[rows])
        # No score, no offer: what is for others, or for other days, cannot be drawn.
        grid[~may_show(terms, people, campaign, rows, facts, night)] = np.nan
        unknown = np.array([doubt.get(name, 1.0) for name in campaign.materials])
        worth = lift_worth(scores, campaign, people.ordinal[rows])
        user = rows.astype(np.int64)
        materials = MaterialRows.of(campaign.materials, facts.category, facts.days, hours)
        ahead = prospects(terms, people, campaign, user, grid, materials, hours)
        offers.append(CampaignOffer(k, user, grid, unknown, worth, ahead))
    return offers


def _people(read: ShardRows, inputs: Inputs, terms: Terms) -> ShardPeople:
    columns = ["ordinal", "user_id", "timezone", "country", "locale", "device_vendor", "channels"]
    columns += ["opted_out_topics", "is_suppressed", *OWN_HOURS]
    table = by_ordinal(read.of(inputs.features, columns))
    curves = read.of(inputs.send_times, ["ordinal", "workday", "day_off"])
    ordinal = table["ordinal"].to_numpy()
    workday, day_off = np.ones((len(ordinal), 24)), np.ones((len(ordinal), 24))
    at = np.searchsorted(ordinal, curves["ordinal"].to_numpy())
    for into, name in ((workday, "workday"), (day_off, "day_off")):
        into[at] = to_bits(curves[name].combine_chunks().flatten().to_numpy().reshape(-1, 24), CURVE_BITS)
    reach = table["channels"].combine_chunks()
    ids = table["user_id"].to_pylist()
    return ShardPeople(
        ordinal=ordinal,
        user_id=ids,
        keys=user_keys(ids),
        timezone=table["timezone"].to_pylist(),
        country=table["country"].to_pylist(),
        locale=table["locale"].to_pylist(),
        vendor=table["device_vendor"].to_pylist(),
        channels=np.stack(
            [_has(reach, channel.id) for channel in terms.channels] or [np.zeros(len(ids), bool)[:0]], axis=-1
        ).reshape(len(ids), len(terms.channels)),
        opted_out=refused_topics(table["opted_out_topics"].combine_chunks()),
        is_suppressed=table["is_suppressed"].to_numpy(zero_copy_only=False),
        workday=workday,
        day_off=day_off,
        own_quiet=own_spans(table),
    )


def _has(lists: pa.ListArray, name: str) -> np.ndarray:
    """Return which lists hold a name, (n,)."""
    has = np.zeros(len(lists), bool)
    hit = pc.equal(lists.flatten(), name).to_numpy(zero_copy_only=False).astype(bool)
    has[lists.value_parent_indices().to_numpy()[hit]] = True
    return has


def _score_grid(scores: pa.Table, campaign: CampaignTerms, ordinals: np.ndarray) -> np.ndarray:
    """Return p(open) per pair and material of one campaign, (m, k); NaN = may not."""
    mine = scores.filter(pc.equal(scores["campaign_id"], campaign.id))
    grid = np.full((len(ordinals), len(campaign.materials)), np.nan)
    owner, name, p = mine["ordinal"].to_numpy(), mine["material_id"], mine["p_open"].to_numpy()
    for column, material in enumerate(campaign.materials):
        hit = pc.equal(name, material).to_numpy(zero_copy_only=False)
        rows = np.searchsorted(ordinals, owner[hit])
        inside = rows < len(ordinals)
        inside[inside] = ordinals[rows[inside]] == owner[hit][inside]
        grid[rows[inside], column] = to_bits(p[hit][inside], SCORE_BITS)
    return grid

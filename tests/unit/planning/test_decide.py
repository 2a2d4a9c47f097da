"""Whole nights decided: pains of other tools that a plan must not cause.

Entered twice, UTC for local hours, past-due messages after a restore, splits over batches.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from angelia.catalog.documents import parse_document
from angelia.catalog.snapshot import Catalog, catalog_of
from angelia.catalog.store import StoredDocument
from angelia.contracts.ids import message_id
from angelia.planning import InMemory, ShardRounds, best_sets, solve
from angelia.planning.before import Past
from angelia.planning.eligibility import Pairs, ShardPeople, build
from angelia.planning.exploring import draw_slots
from angelia.planning.inputs import terms_of
from angelia.planning.terms import ArmTerms, ChannelTerms, Terms
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning import few_people
from tests.unit.planning.few_people import START, past_of, people

N = 40
CAMPAIGN = replace(
    few_people.CAMPAIGN, id="welcome", materials=("hello",), occurrence="once", end_date=date(2026, 12, 31)
)
TERMS = replace(
    few_people.TERMS,
    campaigns=(CAMPAIGN,),
    channels=(ChannelTerms("fcm", 0, 1_000_000),),
    caps=(),
    gap_hours=0,
    quiet=None,
)
NOTHING = past_of()


def everyone(n: int) -> Pairs:
    return Pairs(
        np.arange(n),
        np.zeros(n, np.int64),
        np.full(n, 0.05),
        np.ones(n, bool),
        np.zeros(n, np.int64),
        CategoryHours.of({}),
    )


def planned(terms: Terms, who: ShardPeople, before: Past = NOTHING) -> np.ndarray:
    """Return the slot planned for each person, -1 for none."""
    problem, _, _ = build(terms, who, everyone(len(who.user_id)), before)
    limits = terms.limits()
    return best_sets(problem, limits, np.zeros(limits.n_constraints, np.int64)).slot


def after(before: Past, terms: Terms, who: ShardPeople, slots: np.ndarray) -> Past:
    """Return the past as the next night sees it: a day older, and with what was planned now."""
    rows = np.flatnonzero(slots >= 0)
    campaign = terms.campaigns[0]
    keys = [message_id(campaign.id, who.user_id[row], campaign.occurrence) for row in rows]
    hours = np.concatenate([before.hours, slots[rows].astype(float)]) - 24
    return past_of(
        np.concatenate([before.user, rows]),
        [*before.campaign.to_pylist(), *[campaign.id] * len(rows)],
        hours,
        [*before.message_id.to_pylist(), *keys],
    )


@pytest.mark.pain(5)
def test_a_one_off_campaign_enters_each_person_once() -> None:
    who = people([f"u{i}" for i in range(N)])
    seen, counts = NOTHING, np.zeros(N, int)
    edits = [
        {},
        {"value_micros": 9_000_000},
        {"materials": ("hello", "again")},
        {"end_date": date(2027, 3, 1)},
    ]
    for night, edit in enumerate(edits):
        terms = replace(TERMS, start=START + timedelta(days=night), campaigns=(replace(CAMPAIGN, **edit),))
        slots = planned(terms, who, seen)
        assert np.array_equal(slots, planned(terms, who, seen)), "a rerun of the night decides the same"
        counts += slots >= 0
        seen = after(seen, terms, who, slots)
    assert counts.tolist() == [1] * N
    assert len(set(seen.message_id)) == N


@pytest.mark.pain(5)
def test_a_daily_campaign_enters_each_person_once_a_day() -> None:
    who = people([f"u{i}" for i in range(N)])
    seen = NOTHING
    for night in range(4):
        today = replace(CAMPAIGN, occurrence=(START + timedelta(days=night)).date().isoformat())
        terms = replace(TERMS, start=START + timedelta(days=night), campaigns=(today,))
        for again in range(2):  # the same night planned anew, what it decided already pending
            slots = planned(terms, who, seen)
            assert (slots >= 0).sum() == (0 if again else N)
            shifted = after(seen, terms, who, slots)
            seen = replace(shifted, hours=shifted.hours + 24)
        seen = replace(seen, hours=seen.hours - 24)
    assert len(seen.message_id) == len(set(seen.message_id)) == 4 * N


# Days on which clocks change in Europe, in America and nowhere; half of the plan lies before the change.
@pytest.mark.parametrize("start", ["2026-03-29T00", "2026-11-01T00", "2026-07-04T04", "2026-10-25T00"])
@pytest.mark.pain(7)
def test_hours_follow_each_persons_own_clock(start: str) -> None:
    zones = sorted(zoneinfo.available_timezones() - {"localtime"})
    at = datetime.fromisoformat(start).replace(tzinfo=UTC)
    campaign = replace(CAMPAIGN, send_window=(7, 23), weekdays=frozenset({5, 6}), start_date=date(2026, 1, 1))
    terms = replace(TERMS, start=at, campaigns=(campaign,), quiet=(22, 8))
    who = people([f"u{i}" for i in range(len(zones))], timezone=zones)
    problem, _, _ = build(terms, who, everyone(len(zones)), NOTHING)
    offered = 0
    for row, zone in enumerate(zones):
        info = zoneinfo.ZoneInfo(zone)
        for slot in range(24):
            first = (at + timedelta(hours=slot)).astimezone(info)
            last = (at + timedelta(hours=slot, minutes=59)).astimezone(info)
            fits = 8 <= first.hour < 22 and 8 <= last.hour < 22 and first.weekday() in (5, 6)
            assert problem.allowed[row, slot] == fits, (zone, first)
            offered += fits
    assert offered > len(zones), "Saturday and Sunday are somewhere in the plan"


@pytest.mark.pain(7)
def test_the_best_hour_is_the_persons_hour() -> None:
    zones = ["America/Los_Angeles", "UTC", "Europe/Berlin", "Asia/Shanghai", "Pacific/Auckland"]
    evening = np.zeros((len(zones), 24))
    evening[:, 19] = 1.0
    who = people([f"u{i}" for i in range(len(zones))], timezone=zones, workday=evening, day_off=evening)
    slots = planned(TERMS, who)
    local = [
        (START + timedelta(hours=int(slot))).astimezone(zoneinfo.ZoneInfo(zone)).hour
        for zone, slot in zip(zones, slots, strict=True)
    ]
    assert local == [19] * len(zones)
    assert len(set(slots.tolist())) > 3, "which are different hours of UTC"


@pytest.mark.parametrize("passed", [0, 7, 23])
@pytest.mark.pain(8)
def test_hours_that_have_passed_are_never_planned(passed: int) -> None:
    who = people([f"u{i}" for i in range(N)])
    terms = replace(TERMS, first_slot=passed, explore_pct=50.0)
    problem, outcome, _ = build(terms, who, everyone(N), NOTHING)
    drawn, _ = draw_slots(terms, who, problem, outcome, np.full(N, 0.05))
    chosen = planned(terms, who)
    assert (drawn.slot >= 0).any()
    assert (chosen >= 0).any()
    for slots in (drawn.slot, chosen):
        assert slots[slots >= 0].min() >= passed
    assert (planned(replace(terms, first_slot=24), who) == -1).all(), "a night that is over sends nothing"


POLICY = {"kind": "policy", "id": "default", "caps": [], "salt": "s",
"holdout": {"share_pct": 0, "salt": "h"},
          "explore": {"slot_share_pct": 0, "epsilon": 0.1}}  # fmt: skip
DAILY = {"kind": "campaign", "id": "welcome", "name": "W", "topic": "promo", "owner": "o", "audience": "all",
"materials": ["hello"],
         "channels": ["fcm"], "priority": "medium", "guarantee": "at_most_once", "value_per_open": 1.0,
         "occurrence": {"every": "daily"},
         "start_date": "2026-11-01", "end_date": "2026-11-30"}  # fmt: skip
FCM = {
    "kind": "channel",
    "id": "fcm",
    "provider": "fcm_v1",
    "capacity_per_hour": 1000,
    "quota_per_minute": 1000,
}


def catalog(*, stopped: tuple[str, ...] = (), **changes: object) -> Catalog:
    return catalog_of(
        [StoredDocument(parse_document(raw), 1) for raw in (POLICY, FCM, DAILY | changes)], stopped
    )


@pytest.mark.pain(8)
def test_a_restored_campaign_sends_todays_message_only() -> None:
    who = people([f"u{i}" for i in range(N)])
    assert terms_of(catalog(stopped=("welcome",)), "2026-11-14", 28, None).campaigns == ()
    terms = terms_of(catalog(), "2026-11-14", 28, None)  # resumed after thirteen days
    assert [campaign.occurrence for campaign in terms.campaigns] == ["2026-11-15"]
    assert (planned(terms, who) >= 0).sum() == N, "one each: fourteen days' worth would be 14"
    assert terms.start == START
    assert terms_of(catalog(), "2026-12-10", 28, None).campaigns == (), (
        "one that ended meanwhile sends nothing"
    )


@pytest.mark.pain(8)
def test_publishing_again_what_was_sent_sends_nothing() -> None:
    who = people([f"u{i}" for i in range(N)])
    terms = terms_of(catalog(), "2026-11-14", 28, None)
    sent = replace(after(NOTHING, terms, who, planned(terms, who)), hours=np.zeros(N))
    edited = terms_of(
        catalog(name="W again", value_per_open=2.0, materials=["other", "hello"]), "2026-11-14", 28, None
    )
    _, outcome, _ = build(edited, who, everyone(N), sent)
    assert set(outcome.tolist()) == {"already_intended"}


def in_shards(who: ShardPeople, bits: int) -> list[ShardPeople]:
    """Return people cut into shards of 2**bits ordinals."""
    lists = ("user_id", "timezone", "country", "locale", "vendor", "opted_out")
    arrays = ("ordinal", "keys", "channels", "is_suppressed", "workday", "day_off")
    cuts = [slice(first, first + (1 << bits)) for first in range(0, len(who.user_id), 1 << bits)]
    return [replace(who, **{name: getattr(who, name)[cut] for name in (*lists, *arrays)}) for cut in cuts]


@pytest.mark.parametrize("bits", [6, 8, 11])
@pytest.mark.pain(12)
def test_arms_are_the_same_people_whatever_the_shards(bits: int) -> None:
    n = 6_000
    who = people([f"person-{i}" for i in range(n)])
    arms = (ArmTerms("control", 20.0), ArmTerms("bold", 30.0), ArmTerms("plain", 50.0))
    terms = replace(TERMS, campaigns=(replace(CAMPAIGN, arms=arms, salt="copy"),))
    whole = build(terms, who, everyone(n), NOTHING)[2].tolist()
    parts = [
        build(terms, part, everyone(len(part.user_id)), NOTHING)[2].tolist() for part in in_shards(who, bits)
    ]
    assert [arm for part in parts for arm in part] == whole
    for arm in arms:
        expected = n * arm.share_pct / 100
        assert abs(whole.count(arm.name) - expected) < 4 * np.sqrt(expected), arm.name
    assert sum(whole.count(arm.name) for arm in arms) == n, "everybody is in one arm"


@pytest.mark.parametrize("bits", [5, 7, 10])
@pytest.mark.pain(12)
def test_a_budget_holds_over_any_number_of_batches(bits: int) -> None:
    n, budget = 1_500, 1_000
    # Everybody is worth nearly the same: prices alone cannot tell a thousand of them apart, cut-offs and ties
    # must.
    curve = np.random.default_rng(3).integers(9, 11, (n, 24)) / 10
    who = people([f"person-{i}" for i in range(n)], workday=curve, day_off=curve)
    terms = replace(TERMS, campaigns=(replace(CAMPAIGN, max_messages=budget),))

    def sent(shards: list[ShardPeople]) -> list[str]:
        limits = terms.limits()
        problems = [build(terms, shard, everyone(len(shard.user_id)), NOTHING)[0] for shard in shards]
        run = InMemory([ShardRounds.of(problem, limits) for problem in problems])
        solve(run, limits, build(terms, who, everyone(n), NOTHING)[0], 1.0)
        chosen = [night.held.slot for night in run.nights]
        return [
            shard.user_id[row]
            for shard, slots in zip(shards, chosen, strict=True)
            for row in np.flatnonzero(slots >= 0)
        ]

    whole = sent([who])
    assert budget * 0.9 < len(whole) <= budget
    assert sent(in_shards(who, bits)) == whole

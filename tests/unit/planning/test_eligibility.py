"""Eligibility, caps, gaps, exploration: who is open to the plan, and why others are not."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from angelia.contracts.ids import message_id
from angelia.planning.before import room_for
from angelia.planning.eligibility import (
    OPEN,
    Pairs,
    assemble,
    build,
    clock_hours,
    open_hours,
    slot_chance,
)
from angelia.planning.offers import CampaignOffer, MaterialFacts, hour_gains
from angelia.planning.terms import CapTerms, ChannelTerms
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, ORDER, TERMS, past_of, people


def pairs(n, campaign=0, p=0.05, has=True):
    return Pairs(
        np.arange(n),
        np.full(n, campaign),
        np.full(n, p),
        np.full(n, has),
        np.zeros(n, np.int64),
        CategoryHours.of({}),
    )


def past(*messages):
    """Each message: (user, campaign, hours relative to the plan's start, id)."""
    rows = list(zip(*messages, strict=True)) if messages else [(), (), (), ()]
    return past_of(*rows)


NOTHING = past()


def outcome(terms=TERMS, who=None, what=None, before=NOTHING, n=1):
    return build(terms, who or people(n), what or pairs(n), before)[1].tolist()


@pytest.mark.parametrize(
    ("terms", "who", "what", "before", "expected"),
    [
        (TERMS, people(1), pairs(1), NOTHING, OPEN),
        (TERMS, people(1, is_suppressed=np.ones(1, bool)), pairs(1), NOTHING, "suppressed"),
        (TERMS, people(1, opted_out=[frozenset({"promo"})]), pairs(1), NOTHING, "opted_out"),
        (TERMS, people(1, opted_out=[frozenset({"news"})]), pairs(1), NOTHING, OPEN),
        (TERMS, people(1, channels=np.zeros((1, 1), bool)), pairs(1), NOTHING, "unreachable"),
        (replace(TERMS, holdout_pct=100.0), people(1), pairs(1), NOTHING, "holdout_global"),
        (
            replace(TERMS, holdout_pct=100.0),
            people(1),
            pairs(1, campaign=1),
            NOTHING,
            OPEN,
        ),  # transactional is exempt
        (
            replace(TERMS, campaigns=(replace(CAMPAIGN, holdout_pct=100.0),)),
            people(1),
            pairs(1),
            NOTHING,
            "holdout_campaign",
        ),
        (
            TERMS,
            people(1),
            pairs(1),
            past((0, "sale", -90, message_id("sale", "u0", "2026-11-15"))),
            "already_intended",
        ),
        (TERMS, people(1), pairs(1), past((0, "sale", -90, message_id("sale", "u0", "2026-11-08"))), OPEN),
        (TERMS, people(1), pairs(1, has=False), NOTHING, "no_material"),
        (
            replace(TERMS, campaigns=(replace(CAMPAIGN, end_date=date(2026, 11, 2)),)),
            people(1),
            pairs(1),
            NOTHING,
            "no_slot",
        ),
        (
            replace(TERMS, quiet=(0, 23), campaigns=(replace(CAMPAIGN, send_window=(2, 3)),)),
            people(1),
            pairs(1),
            NOTHING,
            "no_slot",
        ),
        (
            replace(TERMS, campaigns=(replace(CAMPAIGN, caps=(CapTerms(1, 7),)),)),
            people(1),
            pairs(1),
            past((0, "sale", -30, "x")),
            "capped",
        ),
        (TERMS, people(1), pairs(1), past(*[(0, "other", -30.0 - i, f"m{i}") for i in range(6)]), "capped"),
        (TERMS, people(1, vendor=["huawei"]), pairs(1), past((0, "a", 12, "x"), (0, "b", 13, "y")), "capped"),
        (
            TERMS,
            people(1),
            pairs(1, campaign=1),
            past(*[(0, "other", -30.0 - i, f"m{i}") for i in range(6)]),
            OPEN,
        ),
    ],
)
def test_everybody_gets_a_reason(terms, who, what, before, expected):
    assert outcome(terms, who, what, before) == [expected]


def test_a_window_slides_and_opens_again_within_the_plan():
    room = room_for([CapTerms(1, 1)], past((0, "a", -14.0, "x")), n_users=1, n_slots=24)
    assert room[0].tolist() == [0] * 10 + [1] * 14  # 24 h after the message, the slot's whole hour counted


def test_whoever_shares_a_clock_shares_its_hours():
    """By clock or by person: the same hours, chances and materials."""
    zones = ["Asia/Kolkata", "America/Lima", "UTC", "Asia/Kolkata", "UTC", "UTC", "Asia/Kolkata"]
    countries = ["IN", "PE", None, "IN", "IR", None, None]
    rng = np.random.default_rng(2)
    who = people(
        7, timezone=zones, country=countries, workday=rng.random((7, 24)), day_off=rng.random((7, 24))
    )
    hours, clock = clock_hours(TERMS, who)
    assert clock.tolist() == [0, 1, 2, 0, 3, 2, 4]
    alone = [
        open_hours(TERMS, people(1, timezone=[z], country=[c])) for z, c in zip(zones, countries, strict=True)
    ]
    for user, (local, quiet, off) in enumerate(alone):
        place = clock[user]
        assert np.array_equal(hours[0].hour[place], local.hour[0])
        assert np.array_equal(hours[0].date[place], local.date[0])
        assert np.array_equal(hours[1][place], quiet[0])
        assert np.array_equal(hours[2][place], off[0])
    factor = np.vstack([rng.random((2, 48)), np.ones(48)])
    categories = CategoryHours({"a": 0, "b": 1}, factor, np.vstack([rng.random((2, 7)), np.ones(7)]))
    what = replace(pairs(7), category=np.array([0, 1, 2, 1, 0, 0, 1]), hours=categories)
    local, _, off = each = open_hours(TERMS, who)
    chance = slot_chance(who, what, local, off)
    assert np.array_equal(chance, slot_chance(who, what, hours[0], hours[2], clock))
    cell = (local.hour + 24 * off)[3, 9]
    by_hand = 0.05 * np.hstack([who.workday, who.day_off])[3, cell] * factor[1, cell]
    assert chance[3, 9] == by_hand * categories.weekday[1, local.weekday[3, 9]]
    facts = MaterialFacts({}, {"sale_a": "b"})
    offer = CampaignOffer(0, np.array([1, 3, 4, 6]), np.full((4, 1), 0.1))
    best = hour_gains(TERMS, who, each, CAMPAIGN, offer.user, facts, categories)
    assert np.array_equal(best, hour_gains(TERMS, who, hours, CAMPAIGN, offer.user, facts, categories, clock))


def test_recent_and_pending_messages_block_slots_near_them():
    problem, _, _ = build(TERMS, people(1), pairs(1), past((0, "other", 8.0, "x")))
    open_slots = np.flatnonzero(problem.allowed[0]) + 4  # UTC hour = local hour
    assert open_slots.min() == 16  # message at 12:00, four hours later
    assert set(open_slots) == {16, 17, 18, 19, 20, 21}


def test_quiet_hours_hold_for_the_whole_hour_in_half_hour_zones():
    problem, _, _ = build(TERMS, people(1, timezone=["Asia/Kolkata"]), pairs(1), NOTHING)
    # 16:00 UTC is 21:30 in Kolkata and ends at 22:30, in quiet hours; 02:00 UTC is 07:30, also quiet.
    open_hours = {int(h) % 24 for h in np.flatnonzero(problem.allowed[0]) + 4}
    assert 15 in open_hours
    assert not open_hours & {16, 17, 2}
    assert 3 in open_hours


@pytest.mark.parametrize(("general", "own"), [((12, 14), {}), (None, {0: (12, 14)})])
def test_a_night_in_which_hours_become_broken(general, own):
    """From 15:00 UTC on, Lord Howe Island's hours begin at half past."""
    campaign = replace(CAMPAIGN, start_date=date(2026, 3, 1), send_window=(9, 21))
    start = datetime(2026, 4, 4, 4, tzinfo=UTC)
    terms = replace(TERMS, start=start, quiet=general, campaigns=(campaign, ORDER))
    who = people(1, timezone=["Australia/Lord_Howe"], own_quiet=own)
    problem, _, _ = build(terms, who, pairs(1), NOTHING)
    hours = {(slot + 4) % 24 for slot in np.flatnonzero(problem.allowed[0]).tolist()}
    assert hours == {4, 5, 6, 7, 8, 9} | {23, 0}, "15:00 to 20:00, then 9:30 and 10:30; 11:30 is none"


def test_hours_of_ones_own_join_those_of_all():
    own = people(3, own_quiet={0: (6, 11), 1: (1, 3)})
    problem, _, _ = build(TERMS, own, pairs(3), NOTHING)
    hours = [{(slot + 4) % 24 for slot in np.flatnonzero(row).tolist()} for row in problem.allowed]
    assert hours == [set(range(11, 22)), set(range(8, 22)), set(range(8, 22))]
    orders, _, _ = build(TERMS, own, pairs(1, campaign=1), NOTHING)
    assert orders.allowed[0].all(), "what is owed comes at any hour"


def test_hours_that_have_passed_are_closed():
    problem, _, _ = build(replace(TERMS, first_slot=10), people(1), pairs(1), NOTHING)
    assert not problem.allowed[0, :10].any()
    assert replace(TERMS, first_slot=10).limits().capacity[0, :10].sum() == 0


@pytest.mark.parametrize("limits", [(3, 1), (1, 3)])
def test_of_two_vendor_limits_the_lowest_counts(limits):
    channels = tuple(ChannelTerms(f"c{n}", 0, 1000, (("huawei", most),)) for n, most in enumerate(limits))
    who = people(2, vendor=["huawei", None], channels=np.ones((2, 2), bool))
    campaigns = (replace(CAMPAIGN, channels=("c0", "c1")), ORDER)
    problem, _, _ = build(replace(TERMS, channels=channels, campaigns=campaigns), who, pairs(2), NOTHING)
    assert problem.room.max(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("channels", "expected"), [(("c0",), "device_quota"), (("c0", "c1"), OPEN), (("c2",), "unreachable")]
)
def test_a_device_that_had_enough_is_left_out_under_a_reason(channels, expected):
    limit = (("marketing", 1),)
    ways = (ChannelTerms("c0", 0, 1000, max_per_device_day=limit), ChannelTerms("c1", 0, 1000))
    terms = replace(TERMS, channels=ways, campaigns=(replace(CAMPAIGN, channels=channels), ORDER))
    before = replace(past((0, "other", -0.5, "x")), channel=["c0"])
    who = people(1, channels=np.ones((1, 2), bool))
    problem, outcomes, _ = build(terms, who, pairs(1), before)
    assert outcomes.tolist() == [expected]
    if expected == OPEN:
        assert problem.channels.tolist() == [[False, True]]


@pytest.mark.parametrize(("day", "slots"), [(14, 0), (15, 14), (16, 14)])
def test_a_campaign_runs_to_the_end_of_its_last_day(day, slots):
    """The plan begins at 4:00 on the 15th; quiet hours are from 22:00 to 8:00."""
    campaigns = (replace(CAMPAIGN, end_date=date(2026, 11, day)), ORDER)
    problem, _, _ = build(replace(TERMS, campaigns=campaigns), people(1), pairs(1), NOTHING)
    assert np.flatnonzero(problem.allowed[0]).tolist() == list(range(4, 4 + slots))


def test_the_holdout_is_the_share_it_says_and_stays_the_same():
    terms = replace(TERMS, holdout_pct=10.0)
    first, second = outcome(terms, n=5000), outcome(replace(terms, ds="2026-11-15"), n=5000)
    assert first == second
    assert abs(first.count("holdout_global") / 5000 - 0.1) < 0.02


def test_lift_adds_to_opens_by_priority_and_hour():
    who = people(3, workday=np.tile(np.linspace(0.5, 1.5, 24), (3, 1)))
    terms = replace(TERMS, campaigns=(replace(CAMPAIGN, priority="high"), ORDER), quiet=None)
    plain = build(terms, who, pairs(3), NOTHING)[0]
    lift = np.array([0.0, 20_000.0, -80_000.0])
    moved = build(terms, who, replace(pairs(3), lift=lift), NOTHING)[0]
    added = moved.value - plain.value
    # High priority counts four times; 15 November 2026 is a Sunday, whose curve is flat, Monday's is not.
    hours = np.array([1.0] * 20 + who.workday[0, :4].tolist())
    np.testing.assert_allclose(added, 4 * lift[:, None] * hours, atol=1)
    assert (moved.value[2] < 0).all()  # whom it would turn away: no hour is worth it


def waiting(n, later, campaign=0, p=0.05):
    return replace(pairs(n, campaign, p), later=np.tile(np.asarray(later, float), (n, 1)))


SATURDAY = [0.0, 0.0, 0.0, 0.0, 0.0, 0.1]  # the plan is a Sunday's


def test_what_waits_has_no_hour_tonight_and_says_why():
    built = assemble(TERMS, people(2), waiting(2, SATURDAY), NOTHING)
    assert built.outcome.tolist() == ["better_night"] * 2
    assert built.nights.tolist() == [6, 6]
    assert not built.problem.allowed.any()
    assert built.allowed.any(axis=1).all(), "what it would have had tonight is still known"
    at_once = assemble(TERMS, people(2), pairs(2), NOTHING)
    assert at_once.nights is None
    assert (at_once.allowed == built.allowed).all()
    assert (at_once.problem.value == built.problem.value).all()


def test_what_is_owed_or_drawn_to_learn_from_does_not_wait():
    owed = assemble(TERMS, people(2), waiting(2, SATURDAY, campaign=1), NOTHING)
    assert owed.outcome.tolist() == [OPEN] * 2
    drawn = assemble(replace(TERMS, explore_pct=100.0), people(2), waiting(2, SATURDAY), NOTHING)
    assert drawn.outcome.tolist() == [OPEN] * 2
    assert drawn.problem.allowed.any(axis=1).all()


def test_hours_that_a_cap_takes_tonight_make_a_message_wait():
    """The cap ends at noon tonight, after the best hour; tomorrow that hour is open."""
    curve = np.ones((1, 24))
    curve[0, 10] = 2.0
    who, what = people(1, workday=curve, day_off=curve), waiting(1, [0.1] * 6)
    terms = replace(TERMS, campaigns=(replace(CAMPAIGN, caps=(CapTerms(1, 7),)),))
    assert assemble(terms, who, what, NOTHING).outcome.tolist() == [OPEN]
    before = past((0, "sale", 8.0 - 7 * 24, "m"))
    assert assemble(terms, who, what, before).nights.tolist() == [1]


def test_another_reason_stands_before_a_better_night():
    for changed in ({"is_suppressed": np.ones(1, bool)}, {"opted_out": [frozenset({"promo"})]}):
        built = assemble(TERMS, people(1, **changed), waiting(1, SATURDAY), NOTHING)
        assert built.outcome.tolist() != ["better_night"]
        assert built.nights.tolist() == [0]

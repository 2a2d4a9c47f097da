"""What later nights promise candidates: weekdays, days off, own hours, best material."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from angelia.planning.eligibility import ShardPeople, clock_hours
from angelia.planning.offers import CampaignOffer, MaterialFacts, draw_material, gather
from angelia.planning.postponing import NIGHTS_AHEAD, MaterialRows, Prospect
from angelia.planning.postponing.ahead import nights_left, prospects
from angelia.planning.terms import CampaignTerms, Terms
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people

# TERMS is the night of Sunday 2026-11-15; later nights are Monday to Saturday.
WAITS = replace(CAMPAIGN, materials=("sale_a", "sale_b"), later_nights=(1, 2, 3, 4, 5, 6))
FACTS = MaterialFacts({}, {"sale_a": "a", "sale_b": "b"})


def weekdays(a: dict[int, float], b: dict[int, float] | None = None) -> CategoryHours:
    """Return what two categories do by weekday, Monday = 0."""
    by_day = np.ones((3, 7))
    for row, days in enumerate((a, b or {})):
        for day, factor in days.items():
            by_day[row, day] = factor
    return CategoryHours({"a": 0, "b": 1}, np.ones((3, 48)), by_day)


def of(
    terms: Terms,
    campaign: CampaignTerms,
    who: ShardPeople,
    p: list[float],
    hours: CategoryHours,
    facts: MaterialFacts = FACTS,
) -> Prospect | None:
    n = len(who.user_id)
    materials = MaterialRows.of(campaign.materials, facts.category, facts.days, hours)
    return prospects(terms, who, campaign, np.arange(n), np.tile(p, (n, 1)), materials, hours)


def ahead(
    hours: CategoryHours,
    who: ShardPeople,
    p: list[float],
    terms: Terms = TERMS,
    facts: MaterialFacts = FACTS,
    **changes: Any,
) -> Prospect:
    seen = of(terms, replace(WAITS, **changes), who, p, hours, facts)
    assert seen is not None
    return seen


def test_who_may_not_wait_is_not_looked_at() -> None:
    assert of(TERMS, CAMPAIGN, people(1), [0.1], weekdays({})) is None


def test_each_later_night_has_its_weekday_and_best_material() -> None:
    seen = ahead(weekdays({2: 2.0}, {5: 3.0}), people(1), [0.1, 0.08])
    assert seen.tonight == pytest.approx(np.array([[0.1, 0.08]]))
    # Monday, Tuesday, Wednesday, ...: on Wednesday the first is better, on Saturday the second.
    assert seen.later == pytest.approx(np.array([[0.1, 0.1, 0.2, 0.1, 0.1, 0.24]]))


def test_days_off_and_quiet_hours_are_each_nights_own() -> None:
    workday, day_off = np.ones((1, 24)), np.ones((1, 24))
    workday[0, 23], day_off[0, 12] = 9.0, 1.5  # 23 h is quiet
    who = people(1, workday=workday, day_off=day_off, country=["DE"])
    seen = ahead(weekdays({}), who, [0.1, np.nan])
    assert seen.tonight == pytest.approx(np.array([[0.15, 0.0]])), "a Sunday"
    assert seen.later == pytest.approx(np.array([[0.1] * 5 + [0.15]])), "five workdays and a Saturday"


def test_hours_of_their_own_are_quiet_on_every_night() -> None:
    curve = np.ones((2, 24))
    curve[:, 20] = 2.0
    who = people(2, workday=curve, day_off=curve, own_quiet={1: (19, 9)})
    seen = ahead(weekdays({}), who, [0.1, np.nan])
    assert seen.tonight[:, 0] == pytest.approx([0.2, 0.1])
    assert seen.later == pytest.approx(np.array([[0.2] * 6, [0.1] * 6])), "no night looks better than it is"


def test_nights_on_which_it_may_not_go_promise_nothing() -> None:
    seen = ahead(weekdays({}), people(1), [0.1, 0.1], later_nights=(1, 3))
    assert seen.later.tolist() == [[0.1, 0.0, 0.1, 0.0, 0.0, 0.0]]
    ends = ahead(weekdays({}), people(1), [0.1, 0.1], end_date=date(2026, 11, 17))
    # The night of the 17th is the last; before dawn of the 18th it may not go.
    assert ends.later[0].tolist() == [0.1, 0.1, 0.0, 0.0, 0.0, 0.0]


def test_a_material_counts_in_hours_of_its_own_days() -> None:
    facts = MaterialFacts({}, FACTS.category, {"sale_b": (date(2026, 11, 18), date.max)})
    seen = ahead(weekdays({}), people(1), [0.1, 0.3], facts=facts)
    assert seen.tonight.tolist() == [[0.1, 0.0]]
    assert seen.later.tolist() == [[0.1, 0.1, 0.3, 0.3, 0.3, 0.3]]
    # In Shanghai a night is an afternoon and the next morning: the best hour of the next day is not its own.
    facts = MaterialFacts({}, FACTS.category, {"sale_b": (date.min, date(2026, 11, 16))})
    curve = np.ones((1, 24))
    curve[0, 9] = 2.0
    who = people(1, workday=curve, day_off=curve, timezone=["Asia/Shanghai"])
    seen = ahead(weekdays({}), who, [np.nan, 0.1], facts=facts)
    assert seen.tonight[0, 1] == pytest.approx(0.2), "the morning of the 16th"
    assert seen.later[0] == pytest.approx([0.1, 0, 0, 0, 0, 0]), "the afternoon of the 16th"


def test_late_tonight_is_not_late_on_later_nights() -> None:
    curve = np.ones((1, 24))
    curve[0, 12] = 2.0
    who = people(1, workday=curve, day_off=curve)
    seen = ahead(weekdays({}), who, [0.1, 0.1], terms=replace(TERMS, first_slot=17))
    assert seen.tonight.max() == pytest.approx(0.1)
    assert seen.later.min() == pytest.approx(0.2)


def test_own_quiet_hours_keep_to_the_clock_when_clocks_change() -> None:
    """Of a night before clocks go back, eleven o'clock is quiet on later nights, too."""
    curve = np.ones((1, 24))
    curve[0, 11] = 4.0
    who = people(
        1,
        workday=curve,
        day_off=curve,
        own_quiet={0: (22, 12)},
        timezone=["America/New_York"],
        country=["US"],
    )
    terms = replace(TERMS, start=datetime(2026, 10, 30, 4, tzinfo=UTC))
    seen = ahead(weekdays({}), who, [0.1, np.nan], terms=terms, start_date=date(2026, 10, 1))
    assert seen.tonight[0, 0] == pytest.approx(0.1)
    assert seen.later[0] == pytest.approx([0.1] * 6)


def test_no_night_promises_more_than_certainty() -> None:
    curve = np.ones((1, 24))
    curve[0, 12] = 6.0
    seen = ahead(weekdays({}), people(1, workday=curve, day_off=curve), [0.3, 0.1])
    assert seen.tonight == pytest.approx(np.array([[1.0, 0.6]]))
    assert seen.later.tolist() == [[1.0] * 6]


def test_everybody_has_a_last_night_of_waiting_in_turn() -> None:
    who, cycle = people(200), 14
    left = []
    for day in range(2 * cycle):
        terms = replace(TERMS, start=TERMS.start + timedelta(days=day))
        left.append(nights_left(terms, replace(WAITS, wait_cycle=cycle), who.keys))
    by_day = np.array(left)
    assert ((by_day == 0).sum(axis=0) == 2).all()
    assert (np.diff(by_day, axis=0) % cycle == cycle - 1).all(), "a night less each night"
    assert len(np.unique(by_day[0])) == cycle, "not all on one night"
    seen = ahead(weekdays({5: 2.0}), who, [0.1, 0.1], wait_cycle=cycle)
    assert ((seen.later > 0).sum(axis=1) == np.minimum(by_day[0], NIGHTS_AHEAD)).all()


def test_what_is_tried_waits_no_longer_than_the_best() -> None:
    """Later nights stand in the same ratio to either material, and to none of nobody."""
    seen = ahead(weekdays({5: 2.0}), people(3), [0.1, 0.05])
    own = seen.drawn(np.array([0, 1, -1]))
    assert own[:, 5] == pytest.approx([0.2, 0.1, 0.0])
    assert own[:2] / seen.tonight[0][:, None] == pytest.approx(np.array([[1, 1, 1, 1, 1, 2]] * 2))


def test_pairs_carry_what_later_nights_promise() -> None:
    other = replace(CAMPAIGN, id="other")
    terms, who, hours = replace(TERMS, campaigns=(WAITS, other)), people(2), weekdays({5: 2.0})
    grid = np.array([[0.1, 0.05]] * 2)
    seen = ahead(hours, who, [0.1, 0.05])
    offers = [
        CampaignOffer(0, np.arange(2), grid, ahead=seen),
        CampaignOffer(1, np.arange(2), np.full((2, 1), 0.1)),
    ]
    night, clock = clock_hours(terms, who)
    drawn = [draw_material(terms, who, night, offer, FACTS, hours, clock) for offer in offers]
    pairs = gather(terms, offers, drawn, FACTS, hours)[0]
    assert pairs.campaign.tolist() == [0, 1, 0, 1]
    assert pairs.later is not None
    assert pairs.later.shape == (4, NIGHTS_AHEAD)
    assert (pairs.later[::2, 5] == 2.0 * pairs.p_open[::2]).all()
    assert not pairs.later[1::2].any(), "the other campaign's messages do not wait"
    nobody = [replace(offer, ahead=None) for offer in offers]
    assert gather(terms, nobody, drawn, FACTS, hours)[0].later is None

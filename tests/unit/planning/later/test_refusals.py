"""An operator's price on refusals: by hand, and in the problem that is solved."""

from dataclasses import replace

import numpy as np
import pytest

from angelia.planning import solve_here
from angelia.planning.eligibility import Pairs, ShardPeople, assemble
from angelia.planning.later import Fatigue, LaterCosts, bears_two, look_costs
from angelia.planning.later.refusals import TILT
from angelia.planning.terms import Terms
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, ORDER, TERMS, past_of, people

LEARNED = Fatigue(tires=0.3, refuses=0.002, refuses_more=1.0, rate=0.5, tired_days=2.0)
NEWS = replace(CAMPAIGN, id="news", topic="news", value_micros=400_000)
# Without quiet hours and the price of lost topics, so that only the price of looks decides the hour.
FREE: Terms = replace(TERMS, campaigns=(CAMPAIGN, NEWS, ORDER), caps=(), quiet=None, fatigue_weight=0.0)
OLD = past_of()


def some_people(n: int) -> ShardPeople:
    """People who look most at hours of their own."""
    curves = 1.0 + 0.5 * np.sin((np.arange(24) + np.arange(n)[:, None]) * np.pi / 12)
    return people(n, workday=curves, day_off=curves)


def pairs(n: int, p_open: float = 0.1) -> Pairs:
    user, campaign = np.divmod(np.arange(3 * n), 3)
    score = p_open * (1.0 + np.arange(3 * n) % 7)
    hours = CategoryHours.of({})
    return Pairs(user, campaign, score, np.ones(3 * n, bool), np.zeros(3 * n, np.int64), hours, LEARNED)


def costs(by_hour: list[list[float]], share: float = 0.0) -> LaterCosts:
    nothing = np.zeros(len(by_hour))
    return LaterCosts(nothing, nothing + share, nothing, nothing, nothing, nothing, np.array(by_hour))


def test_a_look_costs_by_the_curve_and_never_earns() -> None:
    curve = np.array([[1.0, 1.5, 0.5, 0.1], [1.0, 1.0, 1.0, 1.0]])
    cost = look_costs(np.array([0.001, 0.002]), np.array([1e6, 0.0]), curve)
    assert cost[0] == pytest.approx([1e3, 1e3 * (1 + 0.5 * TILT), 1e3 * (1 - 0.5 * TILT), 0.0])
    assert (cost[1] == 0).all(), "whoever pays nothing pays in no hour"


def test_a_higher_price_never_sends_more() -> None:
    who, mine = some_people(40), pairs(40, 0.01)
    sent, refusals = list[int](), list[float]()
    unit = assemble(replace(FREE, refusal_opens=1.0), who, mine, OLD).later
    assert unit is not None
    assert unit.by_hour is not None
    for price in (0.0, 2.0, 5.0, 10.0, 20.0, 50.0, 1000.0):
        terms = replace(FREE, refusal_opens=price)
        problem = assemble(terms, who, mine, OLD).problem
        choice = solve_here(problem, terms.limits())[1]
        rows = np.flatnonzero((choice.slot >= 0) & ~problem.is_exempt)
        sent.append(len(rows))
        refusals.append(float(unit.by_hour[rows, choice.slot[rows]].sum()))
    assert sent == sorted(sent, reverse=True)
    assert refusals == sorted(refusals, reverse=True)
    assert sent[0] > sent[3] > sent[-1] == 0


def test_of_equal_hours_the_one_with_fewer_looks_wins() -> None:
    curve = np.full((1, 24), 0.1)
    curve[0, 9], curve[0, 20] = 2.0, 1.0
    who, mine = people(1, workday=curve, day_off=curve), pairs(1)
    # The campaign is opened as often at 20 h as at 9 h, though fewer look then.
    chance = np.full((3, 24), 0.001)
    chance[:, (9 - 4) % 24] = chance[:, (20 - 4) % 24] = 0.2
    for price, hour in ((0.0, 9), (5.0, 20)):
        terms = replace(FREE, refusal_opens=price, caps=TERMS.caps[:1])
        problem = assemble(terms, who, mine, OLD, chance).problem
        best = np.argmax(np.where(problem.allowed[0], problem.value[0], -1))
        assert (best + 4) % 24 == hour


def test_who_cannot_bear_a_second_message_gets_one() -> None:
    user = np.array([0, 0, 1, 1, 2])
    worth = np.array([[100.0, 0.0], [100.0, 90.0], [100.0, 0.0], [100.0, 0.0], [100.0, 100.0]])
    cheap, dear, closed = [10.0, 10.0], [70.0, 70.0], [10.0, 0.0]
    two = bears_two(
        LEARNED, costs([cheap, cheap, cheap, dear, closed]), worth, np.ones(5, bool), user, 4
    )  # fmt: skip
    # Felt doubles from 1 to 2: a refusal costs 140 then, more than the 81 that an open is still worth.
    assert two.tolist() == [True, False, False, False]
    exempt = np.array([True, False, True, True, True])
    assert not bears_two(LEARNED, costs([cheap] * 5), worth, exempt, user, 4)[0]

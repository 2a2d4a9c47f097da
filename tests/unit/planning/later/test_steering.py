"""A limit on refusals a message is kept at the lowest price, and few messages go."""

from dataclasses import replace

import numpy as np
import pytest

from angelia.planning import Problem, solve_here
from angelia.planning.eligibility import BuiltShard, assemble
from angelia.planning.later import Fatigue, UsualHours, centred, find_price, risks
from angelia.planning.terms import RefusalPrice, Terms
from tests.unit.planning.later.test_refusals import FREE, OLD, pairs, some_people

LIMITED: Terms = replace(FREE, refusals_at_most=1.0)
N = 60
WEIGHT = np.tile([2e6, 0.8e6, 0.0], N)  # the transactional campaign pays nothing
WHO = np.repeat(np.arange(N), 3)
# Nobody knows of people's busiest hours.
AS_RANDOM = UsualHours(np.zeros(3 * N, np.int64), np.zeros(3 * N))


@pytest.fixture(scope="module")
def built() -> BuiltShard:
    return assemble(LIMITED, some_people(N), pairs(N), OLD)


def sent(problem: Problem, terms: Terms = LIMITED) -> tuple[np.ndarray, np.ndarray]:
    choice = solve_here(problem, terms.limits())[1]
    rows = np.flatnonzero((choice.slot >= 0) & ~problem.is_exempt)
    return rows, choice.slot[rows]


def price_of(
    built: BuiltShard, at_most: float, lines: list[str] | None = None, usual: UsualHours = AS_RANDOM
) -> RefusalPrice:
    assert built.later is not None
    assert built.later.risk is not None
    report = (lambda line: None) if lines is None else lines.append
    price = find_price(built.problem, built.later.risk, WEIGHT, usual, LIMITED.limits(), 1.0, at_most, report)
    assert price is not None
    return price


def test_risk_grows_with_looks_and_with_what_is_felt() -> None:
    learned = Fatigue(refuses_more=0.5, tired_days=1e9)
    risk = risks(learned, np.array([0.0, 3.0]), np.array([[1.0, 2.0], [1.0, -1.0]]))
    assert risk == pytest.approx(np.array([[1.0, 2.0], [2.0, 0.0]]))


def test_who_waits_recovers_and_refuses_more_seldom() -> None:
    risk = risks(Fatigue(refuses_more=1.0, tired_days=2.0), np.array([0.0, 3.0]), np.ones((2, 24)))
    assert (risk[0] == 1.0).all(), "who feels nothing has nothing to recover from"
    assert (np.diff(risk[1]) < 0).all()
    assert risk[1, 11:13].mean() == pytest.approx(4.0, abs=1e-3), "what is felt counts as of midday"
    assert risk[1, 18] - 1.0 == pytest.approx((risk[1, 6] - 1.0) * np.exp(-0.25), abs=1e-5)


def test_a_message_pays_above_the_limit_and_earns_below() -> None:
    price = RefusalPrice(opens=0.1, reference=2.0, at_most=1.0, unpriced=1.2, ratio=1.0)
    risk, before = np.array([[1.0, 2.0, 3.0]]), np.array([[5.0, 5.0, 5.0]])
    assert centred(price, np.array([100.0]), risk, before) == pytest.approx(np.array([[-5.0, 0.0, 5.0]]))
    not_worth = centred(price, np.array([100.0]), risk, -before)
    assert not_worth == pytest.approx(np.array([[0.0, 0.0, 5.0]])), "nothing is sent to dilute the others"
    assert (centred(price, np.zeros(1), risk, before) == 0).all()


def test_a_lower_limit_costs_more_and_is_kept(built: BuiltShard) -> None:
    prices = [price_of(built, at_most) for at_most in (1.2, 1.1, 1.0, 0.9)]
    assert [price.opens for price in prices] == sorted(price.opens for price in prices)
    assert prices[0].opens < prices[-1].opens
    for price in prices:
        assert price.ratio <= price.at_most
    assert len({price.reference for price in prices}) == 1


def test_busy_hours_of_the_usual_way_leave_more_room(built: BuiltShard) -> None:
    curve = some_people(N).workday[WHO][:, (4 + np.arange(24)) % 24]
    usual = UsualHours.of(curve, built.problem.allowed, np.zeros(curve.shape, bool), (0.5, 0.0))
    random, busy = price_of(built, 1.0), price_of(built, 1.0, usual=usual)
    assert busy.reference == pytest.approx(1.25, abs=0.05), "half of the way from 1 to 1.5"
    assert busy.reference * busy.unpriced == pytest.approx(random.reference * random.unpriced)
    assert 0 < busy.opens < random.opens


def test_the_usual_way_by_hand(built: BuiltShard) -> None:
    allowed = np.array([[True, True, False], [True, False, True]])
    problem = replace(built.problem, pair_user=np.arange(2), value=np.zeros((2, 3)), allowed=allowed)
    off = np.array([[True, False, True], [True, True, True]])
    usual = UsualHours.of(np.array([[0.5, 1.0, 9.0], [0.5, 9.0, 1.5]]), allowed, off, (0.6, 0.2))
    assert usual.best.tolist() == [1, 2], "closed hours are nobody's best"
    assert usual.reach == pytest.approx([0.4, 0.2]), "half of the first one's open hours are on a day off"
    units = np.array([[100, 200, 900], [300, 900, 500]])
    limits, rows = LIMITED.limits(), np.arange(2)
    roomy = replace(limits, capacity=np.full((1, 3), 5))
    assert usual.risk(problem, rows, units, roomy, 1.0) == (170 + 420) / 2
    # Ten times as many people: of ten that want either hour, five find room in it.
    assert usual.risk(problem, rows, units, roomy, 10.0) == (160 + 410) / 2
    assert usual.risk(problem, rows[:1], units, roomy, 1.0) == 170


def test_the_night_that_is_solved_keeps_to_the_limit(built: BuiltShard) -> None:
    price = price_of(built, 1.0)
    assert price.unpriced > 1.05
    assert built.later is not None
    risk = built.later.risk
    assert risk is not None
    terms = replace(LIMITED, refusal_price=price)
    steered = assemble(terms, some_people(N), pairs(N), OLD)
    before, after = sent(built.problem), sent(steered.problem, terms)
    assert risk[after].mean() / price.reference == pytest.approx(price.ratio, abs=1e-6)
    assert risk[before].mean() / price.reference == pytest.approx(price.unpriced, abs=1e-6)
    assert len(after[0]) >= 0.97 * len(before[0]), "it moves messages rather than dropping them"


def test_the_usual_way_waits_for_no_better_night(built: BuiltShard) -> None:
    """Who waits is a part of what refusals are measured by, and sends nothing itself."""
    assert built.later is not None
    assert built.later.risk is not None
    # Half of the people refuse twice as often, and these wait.
    waits = WHO < N // 2
    risk = built.later.risk * np.where(waits, 2.0, 1.0)[:, None]
    night = (built.problem, risk, WEIGHT, AS_RANDOM, LIMITED.limits(), 1.0, 1.0)
    halved, nobody = (find_price(*night, waits=each) for each in (waits, np.zeros(3 * N, bool)))
    assert halved is not None
    assert nobody is not None
    assert halved.reference == nobody.reference
    assert halved.unpriced < nobody.unpriced
    left = replace(built.problem, allowed=built.problem.allowed & ~waits[:, None])
    rows, slots = sent(left)
    assert risk[rows, slots].mean() / halved.reference == pytest.approx(halved.unpriced, abs=1e-6)
    assert find_price(*night, waits=np.ones(3 * N, bool)) is None, "everybody waits"


def test_a_limit_that_is_kept_anyway_costs_nothing(built: BuiltShard) -> None:
    price = price_of(built, 2.0)
    assert price.opens == 0.0
    assert price.ratio == price.unpriced
    free = assemble(replace(LIMITED, refusal_price=price), some_people(N), pairs(N), OLD)
    assert np.array_equal(free.problem.value, built.problem.value)


def test_an_unsaid_limit_changes_nothing(built: BuiltShard) -> None:
    plain = assemble(replace(FREE, fatigue_weight=1.0), some_people(N), pairs(N), OLD)
    assert plain.later is not None
    assert plain.later.risk is None
    assert plain.later.by_hour is None
    limited = assemble(replace(LIMITED, fatigue_weight=1.0), some_people(N), pairs(N), OLD)
    assert np.array_equal(plain.problem.value, limited.problem.value), "until the price is found"


def test_what_cannot_be_kept_is_reported() -> None:
    # Everybody's hours are alike, so no price brings the risk below that of a random hour.
    who = replace(some_people(N), workday=np.ones((N, 24)), day_off=np.ones((N, 24)))
    alike = assemble(replace(LIMITED, fatigue_weight=0.0), who, pairs(N), OLD)
    lines: list[str] = []
    price = price_of(alike, 0.5, lines)
    assert price.ratio > 0.9
    assert lines == [f"refusals a message stay {price.ratio:.3f} of the usual way's; 0.5 is not reached"]


def test_no_refusal_known_leaves_looks_alone() -> None:
    nothing = replace(pairs(N), fatigue=Fatigue())
    built = assemble(LIMITED, some_people(N), nothing, OLD)
    assert built.later is not None
    assert (built.later.chance == 0).all()
    price = price_of(built, 1.0)
    assert price.opens > 0
    assert price.ratio <= 1.0


def test_nobody_to_send_to_has_no_price(built: BuiltShard) -> None:
    closed = replace(built.problem, allowed=np.zeros_like(built.problem.allowed))
    assert built.later is not None
    risk = built.later.risk
    assert risk is not None
    assert find_price(closed, risk, WEIGHT, AS_RANDOM, LIMITED.limits(), 1.0, 1.0) is None


def test_a_price_is_read_back_from_a_plan() -> None:
    price = RefusalPrice(0.1, 2.0, 1.0, 1.2, 1.0)
    assert RefusalPrice.of({"fatigue": {"refusals": price.as_meta()}}) == price
    assert RefusalPrice.of({"fatigue": {}}) is None
    assert RefusalPrice.of({}) is None

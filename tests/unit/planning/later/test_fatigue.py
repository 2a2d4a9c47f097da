"""What a message costs later: by hand, and in the problem that is solved."""

from dataclasses import replace

import numpy as np
import pytest

from angelia.planning import Choice, solve_here
from angelia.planning.before import Past
from angelia.planning.choose import pack
from angelia.planning.eligibility import Pairs, assemble, build
from angelia.planning.later import Fatigue, later_costs
from angelia.planning.later.fatigue import still_felt
from angelia.planning.problem import Problem
from angelia.planning.terms import Terms
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, ORDER, TERMS, past_of, people

LEARNED = Fatigue(tires=0.3, refuses=0.001, refuses_more=1.0, rate=0.5, tired_days=2.0)
NEWS = replace(CAMPAIGN, id="news", topic="news", value_micros=400_000)
MANY: Terms = replace(TERMS, campaigns=(CAMPAIGN, NEWS, ORDER))


def pairs(n: int, fatigue: Fatigue | None, campaigns: int = 3) -> Pairs:
    user, campaign = np.divmod(np.arange(n * campaigns), campaigns)
    m = n * campaigns
    return Pairs(user, campaign, np.full(m, 0.1), np.ones(m, bool), np.zeros(m, np.int64),
                 CategoryHours.of({}), fatigue)  # fmt: skip


def week(user: int, n: int = 7) -> Past:
    """A message a day to one person, the last one 20 hours before the plan."""
    hours = -20.0 - 24.0 * np.arange(n)
    return past_of(np.full(n, user), ["old"] * n, hours, [f"m{i}" for i in range(n)])


OLD = past_of()


def test_messages_fade_and_their_number_leans_to_the_mean() -> None:
    user, hours = np.array([0, 0, 0, 1]), np.array([-0.2, -24.4, -200.0, 3.0])
    felt, rate = still_felt(LEARNED, user, hours, 3)
    fresh = np.exp(-(0.5 / 24 + 0.5) / 2)
    # Age in whole hours; older than a week is forgotten, pending counts as just sent.
    assert felt == pytest.approx([fresh + np.exp(-(24.5 / 24 + 0.5) / 2), fresh, 0.0], abs=1e-4)
    assert rate == pytest.approx([(2 + 3.5) / 14, (1 + 3.5) / 14, 3.5 / 14])


def test_a_cost_is_what_its_docstring_says() -> None:
    worth = np.array([[50_000.0, 100_000.0], [40_000.0, 20_000.0], [0.0, 90_000.0]])
    costs = later_costs(
        LEARNED, worth, worth.mean(axis=1), np.array([True, True, False]), np.zeros(3, np.int64),
        ["promo", "news", "orders"], np.zeros(0, np.int64), np.zeros(0), n_users=1, weight=2.0,
        horizon_days=90,
    )  # fmt: skip
    ahead = np.exp(-np.arange(1, 8) / 2).sum()
    assert costs.lost[0] == pytest.approx(0.3 * 0.25 * ahead, rel=1e-4)
    assert costs.flat == pytest.approx([2 * 100_000 * costs.lost[0]] * 2 + [0.0])
    # Half of the later messages are of the topic, each worth what the best of tonight is.
    lost = 0.001 * 90 * 0.25 * 0.5 * 100_000
    assert costs.share == pytest.approx([2 * lost / 75_000, 2 * lost / 30_000, 0.0])
    assert costs.net(worth)[1] == pytest.approx(worth[1] * (1 - costs.share[1]) - costs.flat[1])


def test_nothing_learned_or_no_weight_costs_nothing() -> None:
    who, before = people(3), week(0, 1)
    plain = build(MANY, who, pairs(3, None), before)[0]
    for terms, fatigue in ((MANY, Fatigue()), (replace(MANY, fatigue_weight=0.0), LEARNED)):
        assert np.array_equal(build(terms, who, pairs(3, fatigue), before)[0].value, plain.value)
    priced = build(MANY, who, pairs(3, LEARNED), before)[0]
    marketing = priced.pair_campaign < 2
    assert (priced.value[marketing] < plain.value[marketing]).all()
    assert np.array_equal(priced.value[~marketing], plain.value[~marketing]), "a transaction is owed"


def test_whoever_was_sent_more_pays_more() -> None:
    free = replace(MANY, caps=())
    built = assemble(free, people(2), pairs(2, LEARNED), week(0))
    assert built.later is not None
    tired, rested = built.later.lost[0], built.later.lost[3]
    assert tired > 1.2 * rested
    assert built.later.share[0] > 3 * built.later.share[3]


def test_the_price_is_the_same_in_every_shard() -> None:
    before, n = week(5), 8
    whole = build(MANY, people(n), pairs(n, LEARNED), before)[0].value
    ids = [f"u{i}" for i in range(n)]
    here = replace(before, user=before.user - 4)
    parts = [
        build(MANY, people(ids[:4]), pairs(4, LEARNED), OLD)[0].value,
        build(MANY, people(ids[4:]), pairs(4, LEARNED), here)[0].value,
    ]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("weight", [0.0, 1.0, 30.0])
def test_the_bound_holds_with_the_price_in_it(weight: float) -> None:
    terms = replace(MANY, fatigue_weight=weight, caps=())
    tight = replace(terms, channels=(replace(terms.channels[0], capacity_per_hour=2),))
    n = 40
    problem = build(tight, people(n), pairs(n, LEARNED), week(3))[0]
    solved, choice = solve_here(problem, tight.limits())
    sent = choice.slot >= 0
    worth = int(choice.bid[sent].sum())
    assert worth <= solved.bound
    assert (choice.bid[sent & ~problem.is_exempt] > 0).all(), "nobody is sent what costs more than its worth"
    assert (weight == 30.0) == (not sent[~problem.is_exempt].any())


def test_a_minimum_may_send_what_costs_more_later() -> None:
    asked = replace(MANY, campaigns=(replace(CAMPAIGN, min_messages=5), NEWS, ORDER), fatigue_weight=9.0)
    problem: Problem = build(asked, people(20), pairs(20, LEARNED), OLD)[0]
    own = problem.pair_campaign == 0
    assert (problem.value[own] < 0).all()
    assert sum(bucket.rows.size for bucket in pack(problem, asked.limits()).buckets) == own.sum()
    choice: Choice = solve_here(problem, asked.limits())[1]
    # People who are all alike are split by tilted prices: nearly, not exactly.
    assert (choice.slot[own] >= 0).sum() >= 4
    assert (choice.slot[problem.pair_campaign == 1] < 0).all()

"""The exploration stratum: whose slot is drawn, how evenly, and what its reserve drops."""

from dataclasses import replace

import numpy as np

from angelia.planning import Choice
from angelia.planning.eligibility import build
from angelia.planning.exploring import draw_slots, thin_drawn
from angelia.planning.problem import count_of
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people
from tests.unit.planning.test_eligibility import NOTHING, pairs


def test_the_stratum_draws_slots_evenly_and_logs_how():
    terms = replace(TERMS, explore_pct=100.0)
    who = people(4000)
    problem, reasons, _ = build(terms, who, pairs(4000), NOTHING)
    drawn, propensity = draw_slots(terms, who, problem, reasons, np.full(4000, 0.05))
    n_open = int(problem.allowed[0].sum())
    assert np.allclose(propensity, 1 / n_open)
    counts = np.bincount(drawn.slot, minlength=24)[problem.allowed[0]]
    assert counts.sum() == 4000
    assert counts.min() > 0.75 * 4000 / n_open


def test_overflow_of_the_stratum_is_dropped_whatever_the_score():
    terms = replace(TERMS, explore_pct=100.0)
    who = people(4000)
    problem, reasons, _ = build(terms, who, pairs(4000), NOTHING)
    drawn, _ = draw_slots(terms, who, problem, reasons, np.full(4000, 0.05))
    limits = terms.limits()
    demand = count_of(problem.constraints(drawn, np.arange(4000), limits), limits)
    reserve = np.where(np.arange(limits.n_constraints) < 24, 100, 10**9)
    kept, dropped = thin_drawn(problem, limits, drawn, demand, reserve)
    used = np.bincount(kept.slot[kept.slot >= 0], minlength=24)
    assert used.max() <= 100
    assert dropped.sum() + (kept.slot >= 0).sum() == 4000
    better = Choice(drawn.slot, drawn.channel, drawn.bid * 50)
    assert np.array_equal(thin_drawn(problem, limits, better, demand, reserve)[1], dropped)


def test_the_drawn_campaign_is_the_one_worth_most_with_lift():
    terms = replace(TERMS, campaigns=(CAMPAIGN, replace(CAMPAIGN, id="other")), explore_pct=100.0)
    both = replace(pairs(2), user=np.array([0, 0]), campaign=np.array([0, 1]))
    problem, reasons, _ = build(terms, people(1), both, NOTHING)
    for lift, expected in (([0.0, 9.0], [False, True]), ([9.0, 0.0], [True, False])):
        drawn, _ = draw_slots(terms, people(1), problem, reasons, both.p_open, np.array(lift))
        assert (drawn.slot >= 0).tolist() == expected

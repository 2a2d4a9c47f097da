"""Policies of the closed loop: what our terms say of prices is ours alone."""

from dataclasses import replace

import numpy as np

from angelia.planning.before import Past
from angelia.planning.eligibility import Pairs
from angelia.planning.inputs import ShardInputs
from angelia.planning.later import Fatigue
from angelia.planning.offers import MaterialFacts, choice_sets
from angelia.rehearsal.policies import PolicyView, first_come, ours
from angelia.timing.category_hours import CategoryHours
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people

LEARNED = Fatigue(tires=0.3, refuses=0.002, refuses_more=1.0, rate=0.5, tired_days=2.0)
NEWS = replace(CAMPAIGN, id="news", topic="news")


def view(refusal_opens: float, n: int) -> PolicyView:
    """Return a night of a few people whom two campaigns want."""
    user, campaign = np.divmod(np.arange(2 * n), 2)
    hours, score = CategoryHours.of({}), np.full((2 * n, 1), 0.1)
    pairs = Pairs(user, campaign, score[:, 0], np.ones(2 * n, bool), 0 * user, hours, LEARNED)
    past = Past(np.zeros(0, np.int64), [], np.zeros(0), [])
    shard = ShardInputs(people(n), pairs, past, ["sale_a"] * 2 * n, np.ones(2 * n), choice_sets(score))
    terms = replace(TERMS, campaigns=(CAMPAIGN, NEWS), refusal_opens=refusal_opens)
    nothing = MaterialFacts({}, {})
    return PolicyView(None, "", terms, None, nothing, hours, shard.people, [], shard, {})  # type: ignore[arg-type]


def test_the_usual_product_knows_no_price_of_a_refusal() -> None:
    n = 5
    sent = []
    for price in (0.0, 1000.0):
        night = view(price, n)
        order = np.tile(np.arange(24.0), (n, 1))
        usual = first_come(night, night.shard, night.shard.pairs.p_open, order, None)
        sent.append((len(usual.row), len(ours(night, None).row)))
    assert sent == [(2 * n, 2 * n), (2 * n, 0)]

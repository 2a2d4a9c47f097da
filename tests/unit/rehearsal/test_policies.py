"""Policies of a simulated night: who is served first, how much, and what is tried."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from angelia.planning.eligibility import Pairs
from angelia.planning.inputs import ShardInputs
from angelia.planning.later import Fatigue
from angelia.planning.offers import MaterialFacts, choice_sets
from angelia.rehearsal.policies import POLICIES, PolicyView, evenly, first_come, greedy, ours
from angelia.timing.category_hours import CategoryHours
from benchmarks.nights.knowledge import knowledge
from tests.unit.planning.few_people import CAMPAIGN, TERMS, past_of, people

LEARNED = Fatigue(tires=0.3, refuses=0.002, refuses_more=1.0, rate=0.5, tired_days=2.0)
NEWS = replace(CAMPAIGN, id="news", topic="news")


def view(refusal_opens: float, n: int) -> PolicyView:
    """Return a night of a few people whom two campaigns want."""
    user, campaign = np.divmod(np.arange(2 * n), 2)
    hours, score = CategoryHours.of({}), np.full((2 * n, 1), 0.1)
    pairs = Pairs(user, campaign, score[:, 0], np.ones(2 * n, bool), 0 * user, hours, LEARNED)
    past = past_of()
    shard = ShardInputs(people(n), pairs, past, ["sale_a"] * 2 * n, np.ones(2 * n), choice_sets(score), [])
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


def test_the_usual_product_waits_for_no_better_night() -> None:
    n = 5
    night = view(0.0, n)
    pairs = replace(night.shard.pairs, later=np.full((2 * n, 6), 0.2))
    night = replace(night, shard=replace(night.shard, pairs=pairs))
    usual = first_come(night, night.shard, pairs.p_open, np.tile(np.arange(24.0), (n, 1)), None)
    assert (len(usual.row), len(ours(night, None).row)) == (2 * n, 0)


def test_the_highest_score_is_taken_and_nobody_without_one() -> None:
    nan = np.nan
    offer: Any = SimpleNamespace(p_open=np.array([[0.1, 0.3], [nan, 0.0], [nan, nan], [0.2, 0.2]]))
    best, chance = greedy(None, offer)  # type: ignore[arg-type]
    assert best.tolist() == [1, 1, -1, 0]
    assert chance.tolist() == [1.0] * 4


@pytest.mark.parametrize("policy", ["usual", "random"])
def test_nobody_has_a_second_message_while_others_wait(night: PolicyView, policy: str) -> None:
    few, whole = POLICIES[policy](night, 40), POLICIES[policy](night, None)
    assert len(few.row) == 40
    assert np.bincount(few.row).max() == 1
    served = np.bincount(whole.row, minlength=len(night.people.user_id))
    assert served.max() == night.terms.limits().max_messages == 2
    gap = night.terms.limits().gap_slots
    for person in np.flatnonzero(served == 2):
        first, second = sorted(whole.slot[whole.row == person])
        assert second - first >= gap


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_no_policy_writes_to_who_refused(night: PolicyView, policy: str) -> None:
    """Every policy plans over the same allowed pairs: only who, what and when differ."""
    sent = POLICIES[policy](night, None)
    table = night.site.lake.read(night.inputs.features, ["ordinal", "opted_out_topics"]).sort_by("ordinal")
    refused = table["opted_out_topics"].to_pylist()
    topic = {campaign.id: campaign.topic for campaign in night.terms.campaigns}
    assert len(sent.row) > 40
    assert not any(topic[name] in refused[row] for row, name in zip(sent.row, sent.campaign, strict=True))
    assert len(set(sent.message_id)) == len(sent.message_id)


def test_drawn_hours_are_ours_alone(night: PolicyView) -> None:
    """Their propensities are what evaluation weighs by; without exploring there are none."""
    ours, unexplored = (POLICIES[name](night, None).slot_propensity for name in ("ours", "unexplored"))
    known = ours[~np.isnan(ours)]
    assert len(known) > 0
    assert ((known > 0) & (known <= 1)).all()
    assert np.isnan(unexplored).all()


def test_the_truth_knows_more_than_we_do(night: PolicyView) -> None:
    knows = knowledge(night)
    assert knows["offers"] > 100
    assert 0.5 < knows["auc"] < knows["auc_truth"]
    assert knows["log_loss_truth"] < min(knows["log_loss"], knows["log_loss_rate"])


def test_materials_are_drawn_evenly(night: PolicyView) -> None:
    offer = max(night.offers, key=lambda offer: offer.p_open.shape[1])
    k = offer.p_open.shape[1]
    drawn = [evenly(night, f"draw {number}")[night.offers.index(offer)] for number in range(20)]
    may = ~np.isnan(offer.p_open)
    share = may / np.maximum(may.sum(axis=1, keepdims=True), 1)
    for which, propensity in drawn:
        served = np.flatnonzero(which >= 0)
        assert (propensity[served] == share[served, which[served]]).all()
    counts = np.bincount(np.concatenate([which[which >= 0] for which, _ in drawn]), minlength=k)
    expected = 20 * share.sum(axis=0)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_plan_sees_the_scores_that_were_drawn_from(night: PolicyView) -> None:
    halved = [replace(offer, p_open=offer.p_open / 2.0) for offer in night.offers]
    before, after = (night.drawn_again(offers) for offers in (night.offers, halved))
    assert after.material == before.material
    assert after.pairs.p_open == pytest.approx(before.pairs.p_open / 2.0)

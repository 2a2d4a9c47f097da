"""How much better a channel's messages are opened, and how the plan says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from angelia.planning.eligibility import OPEN
from angelia.planning.exploring import draw_slots
from angelia.planning.problem import ONE, Problem
from angelia.planning.routes import add_counts, responses, says_of, with_responses
from angelia.planning.routes.responses import LEAST, MOST, PRIOR_SENT
from angelia.planning.terms import ChannelTerms
from tests.unit.planning.few_people import CAMPAIGN, TERMS, people

ROUTED = replace(
    TERMS,
    campaigns=(replace(CAMPAIGN, channels=("email", "fcm"), by_value=True),),
    channels=(ChannelTerms("email", 2_000, 1000), ChannelTerms("fcm", 0, 1000)),
    explore_pct=100.0,
)


def test_a_channel_is_compared_within_campaigns():
    # Mail goes to a campaign that everybody opens, and there does worse than push.
    counts = {
        "loved": {"email": (9_000, 4_000), "fcm": (1_000, 700)},
        "plain": {"fcm": (9_000, 600), "email": (1_000, 30)},
    }
    known = responses(counts)
    assert known["fcm"] > 1.1 > 0.99 > known["email"]


def test_few_messages_say_little_and_none_say_nothing():
    few = responses({"sale": {"email": (10, 5), "fcm": (10, 0)}})
    prior = PRIOR_SENT * 5 / 20
    assert few["email"] == round((5 + prior) / (2.5 + prior), 4)
    assert responses({"sale": {"email": (10, 0), "fcm": (10, 0)}}) == {}
    assert responses({}) == {}


def test_a_campaign_of_one_channel_says_nothing_of_it():
    alone = {"mail_only": {"email": (9_000, 8_000), "fcm": (0, 0)}}
    assert responses(alone) == {}
    both = alone | {"sale": {"fcm": (1_000, 100), "sms": (1_000, 100)}}
    assert responses(both) == {"fcm": 1.0, "sms": 1.0}


def test_responses_stay_within_bounds():
    known = responses({"sale": {"email": (10**7, 0), "fcm": (10**5, 10**5)}})
    assert (known["email"], known["fcm"]) == (LEAST, MOST)


def test_counts_of_shards_add_up():
    parts = [{"sale": {"fcm": (2, 1)}}, {"sale": {"fcm": (3, 0), "sms": (1, 1)}, "news": {"fcm": (1, 0)}}]
    assert add_counts(parts) == {"sale": {"fcm": (5, 1), "sms": (1, 1)}, "news": {"fcm": (1, 0)}}


def test_terms_take_responses_only_if_a_campaign_asks():
    meta = {"channel_responses": {"email": 1.5}}
    assert with_responses(TERMS, meta) is TERMS
    assert with_responses(ROUTED, {}) is ROUTED
    terms = with_responses(ROUTED, meta)
    assert [channel.response for channel in terms.channels] == [ONE * 3 // 2, ONE]
    assert terms.limits().boost.tolist() == [[ONE * 3 // 2, ONE]]
    assert TERMS.limits().boost.size == 0


def test_the_exploration_stratum_draws_its_channel():
    n = 400
    problem = Problem(
        n_users=n, pair_user=np.arange(n), pair_campaign=np.zeros(n, np.int64),
        value=np.full((n, 24), 9_000), allowed=np.ones((n, 24), bool),
        channels=np.column_stack([np.ones(n, bool), np.arange(n) >= 10]),
        is_exempt=np.zeros(n, bool), is_explore=np.ones(n, bool), room=np.ones((n, 24), np.int16),
        tie=np.zeros(n, np.uint64),
    )  # fmt: skip
    outcome = np.full(n, OPEN, object)
    terms = with_responses(ROUTED, {"channel_responses": {"email": 2.0}})
    choice, _ = draw_slots(terms, people(n), problem, outcome, np.full(n, 0.1))
    assert (choice.channel[:10] == 0).all(), "who has no push gets mail"
    assert 150 < (choice.channel == 1).sum() < 240
    assert set(choice.bid[choice.channel == 0].tolist()) == {16_000}
    assert set(choice.bid[choice.channel == 1].tolist()) == {9_000}


def drawn(worth, campaign=CAMPAIGN, n=40):
    """Return the channels that people were drawn, -1 = none: mail, at 2,000, and push."""
    problem = Problem(
        n_users=n, pair_user=np.arange(n), pair_campaign=np.zeros(n, np.int64),
        value=np.full((n, 24), 9_000), allowed=np.ones((n, 24), bool),
        channels=np.column_stack([np.ones(n, bool), np.arange(n) >= 10]),
        is_exempt=np.zeros(n, bool), is_explore=np.ones(n, bool), room=np.ones((n, 24), np.int16),
        tie=np.zeros(n, np.uint64),
    )  # fmt: skip
    terms = replace(ROUTED, campaigns=(replace(campaign, value_micros=worth),))
    terms = with_responses(terms, {"channel_responses": {"email": 2.0}})
    choice, propensity = draw_slots(terms, people(n), problem, np.full(n, OPEN, object), np.ones(n))
    assert np.isnan(propensity[choice.slot < 0]).all()
    return choice.channel


def test_no_draw_goes_by_a_channel_above_its_worth():
    weight = dict(ROUTED.priority_weight)[CAMPAIGN.priority]
    # Mail costs 2,000: below that it carries nobody, and who has no push is not drawn.
    for worth, mail in ((2_000 // weight, True), (2_000 // weight - 1, False)):
        channel = drawn(worth)
        assert channel[:10].tolist() == [0 if mail else -1] * 10
        assert (channel[10:] == (0 if mail else 1)).all()
    # By value mail makes twice as much of a message.
    by_value = ROUTED.campaigns[0]
    assert set(drawn(1_000 // weight, by_value).tolist()) == {0, 1}
    assert drawn(1_000 // weight - 1, by_value)[:10].tolist() == [-1] * 10


def test_the_choice_is_put_into_words():
    terms = with_responses(ROUTED, {"channel_responses": {"email": 0.5}})
    says = says_of(terms, terms.campaigns[0], np.array([True, True]))
    assert says == (
        "by value less cost and price: fcm opens 1.00 times a mean channel's, costs 0.0000; "
        "email opens 0.50 times a mean channel's, costs 0.0020"
    )
    assert says_of(terms, CAMPAIGN, np.array([True, True])) is None

"""What a night's terms leave for the priced plan, and set aside for exploration."""

from dataclasses import replace

import numpy as np

from angelia.planning.terms import NO_BUDGET, ChannelTerms, Terms, contradictions
from tests.unit.planning.few_people import CAMPAIGN, ORDER, TERMS

NIGHT = replace(TERMS, explore_pct=10.0, first_slot=2, campaigns=(replace(CAMPAIGN, max_messages=500), ORDER))


def test_exploration_has_its_share_of_every_hour_and_budget():
    limits = NIGHT.limits()
    assert limits.capacity.tolist() == [[0] * 2 + [900] * 22]
    assert limits.budget.tolist() == [450, NO_BUDGET]
    assert NIGHT.explore_limits().tolist() == [0] * 2 + [100] * 22 + [50, NO_BUDGET]


def test_both_shares_are_the_whole():
    odd = replace(NIGHT, explore_pct=7.3)
    whole = np.array([0] * 2 + [1000] * 22 + [500])
    assert (odd.limits().flat()[:-1] + odd.explore_limits()[:-1] == whole).all()


def test_without_exploration_all_is_priced():
    plain = replace(NIGHT, explore_pct=0.0)
    assert plain.limits().capacity.max() == 1000
    assert plain.explore_limits()[:-1].max() == 0


def test_speed_limits_leave_exploration_its_share() -> None:
    paced = replace(NIGHT, campaigns=(replace(CAMPAIGN, max_per_hour=60), ORDER))
    limits = paced.limits()
    assert limits.paced.tolist() == [0]
    assert limits.pace.tolist() == [[0] * 2 + [54] * 22]
    assert paced.explore_limits()[-24:].tolist() == [0] * 2 + [6] * 22
    assert limits.n_constraints == 24 + 2 + 24


def test_a_minimum_no_plan_can_reach_is_named_and_lowered() -> None:
    wanted = replace(CAMPAIGN, max_messages=100_000, min_messages=50_000)
    night = replace(NIGHT, campaigns=(wanted, ORDER))
    reach = np.array([60_000, 9])
    assert contradictions(night, night.limits(), np.array([50_000, 9]))[0] == [
        "campaign sale: a minimum of 50,000, but 19,800 messages its channels' hours take"
    ]
    lines, limits = contradictions(
        replace(night, campaigns=(replace(wanted, max_per_hour=60), ORDER)),
        replace(night, campaigns=(replace(wanted, max_per_hour=60), ORDER)).limits(),
        reach,
    )
    assert lines == ["campaign sale: a minimum of 50,000, but 1,188 messages its speed limit lets pass"]
    assert limits.least.tolist() == [1188, 0]
    lines, _ = contradictions(night, night.limits(), np.array([100, 9]))
    assert lines == ["campaign sale: a minimum of 50,000, but 100 people it may be sent to in an open hour"]
    fits = replace(night, campaigns=(replace(wanted, min_messages=100), ORDER))
    assert contradictions(fits, fits.limits(), np.array([100, 9]))[0] == []


def test_minimums_that_fit_only_one_by_one_are_named() -> None:
    """22 hours of 900 messages on fcm, of 9 on sms; the third campaign may use both."""
    channels = (ChannelTerms("fcm", 0, 1000), ChannelTerms("sms", 0, 10))
    wanted = {"a": ("sms",), "b": ("sms", "none"), "c": ("fcm", "sms"), "d": ("fcm",)}

    def night(*least: int) -> Terms:
        campaigns = [
            replace(CAMPAIGN, id=name, channels=own, max_messages=90_000, min_messages=n)
            for (name, own), n in zip(wanted.items(), least, strict=True)
        ]
        return replace(NIGHT, channels=channels, campaigns=tuple(campaigns))

    def contradictions_of(*least: int) -> tuple[list[str], list[int]]:
        terms = night(*least)
        says, limits = contradictions(terms, terms.limits(), np.full(4, 90_000))
        return says, limits.least.tolist()

    assert contradictions_of(98, 100, 19_000, 800) == ([], [98, 100, 19_000, 800])
    assert contradictions_of(100, 150, 10, 0) == (
        ["campaigns a, b: minimums of 250 together, but 198 messages the hours of sms take"],
        [79, 118, 10, 0],
    )
    says, least = contradictions_of(0, 0, 15_000, 10_000)
    assert says == [
        "campaigns c, d: minimums of 25,000 together, but 19,998 messages the hours of fcm, sms take"
    ]
    assert sum(least) <= 19_998

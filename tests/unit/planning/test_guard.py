"""The guard: what is implausible tonight, and what is only different.

What it measures in a lake: test_guard_figures.py.
"""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from angelia.catalog.documents import parse_document
from angelia.planning.guard import Breach, Running, is_nightly, judge
from angelia.planning.guard_figures import NightFigures
from angelia.planning.verdict import lines
from tests.unit.planning.test_inputs import WELCOME

DS = "2026-11-14"
RUNNING = {"sale": Running("buyers"), "digest": Running("readers")}
USUAL = NightFigures(
    {"sale": 1000, "digest": 5000},
    {"sale": 0.08, "digest": 0.05},
    {"buyers": 2000, "readers": 8000},
    1.0,
    {"sale": 200, "digest": 200},
)


def nights(*figures):
    """Figures by night, the last of them the night before."""
    last = date.fromisoformat(DS)
    return {
        (last - timedelta(days=back)).isoformat(): night
        for back, night in zip(range(len(figures), 0, -1), figures, strict=True)
    }


WEEK = nights(*[USUAL] * 7)


def breaches_of(figures, history=WEEK, running=RUNNING):
    return [
        (breach.check, breach.severity, breach.campaigns) for breach in judge(DS, figures, history, running)
    ]


def test_a_usual_night_is_plausible():
    assert breaches_of(USUAL) == []
    assert breaches_of(USUAL, {}) == []


@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"messages": {"sale": 1000, "digest": 59_001}}, ("volume", "night", ())),
        ({"messages": {"sale": 10, "digest": 590}}, ("volume", "night", ())),
        ({"messages": {"sale": 10_000, "digest": 5000}}, ("volume", "campaign", ("sale",))),
        ({"messages": {"sale": 100, "digest": 5000}}, ("volume", "campaign", ("sale",))),
        ({"messages": {"digest": 5000}}, ("volume", "campaign", ("sale",))),
        ({"audiences": {"buyers": 20_000, "readers": 8000}}, ("audience_size", "campaign", ("sale",))),
        ({"audiences": {"buyers": 200, "readers": 8000}}, ("audience_size", "campaign", ("sale",))),
        ({"audiences": {"buyers": 0, "readers": 8000}}, ("audience_empty", "campaign", ("sale",))),
        ({"mean_p_open": {"sale": 0.16, "digest": 0.05}}, ("score_drift", "campaign", ("sale",))),
        ({"mean_p_open": {"sale": 0.04, "digest": 0.05}}, ("score_drift", "campaign", ("sale",))),
        ({"unknown_timezones_pct": 20.1}, ("timezones", "night", ())),
        ({"unrendered": {"digest": {"invalid_link": 3}}}, ("rendering", "campaign", ("digest",))),
    ],
)
def test_each_figure_out_of_bounds_is_a_breach(changes, breach):
    assert breach in breaches_of(replace(USUAL, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": {"sale": 9_999, "digest": 5000}},
        {"mean_p_open": {"sale": 0.159, "digest": 0.041}},
        {"unknown_timezones_pct": 20.0},
        {"unrendered": {"digest": {"invalid_link": 2}}},
    ],
)
def test_just_inside_is_none(changes):
    assert breaches_of(replace(USUAL, **changes)) == []


def test_volumes_need_seven_nights_and_campaigns_three():
    wild = replace(USUAL, messages={"sale": 90_000, "digest": 50_000})
    assert breaches_of(wild, nights(*[USUAL] * 6)) == []
    young = nights(*[replace(USUAL, messages={"digest": 5000})] * 5, *[USUAL] * 2)
    assert ("volume", "campaign", ("sale",)) not in breaches_of(wild, young)
    assert ("volume", "campaign", ("digest",)) in breaches_of(wild, young)


WEEKLY = RUNNING | {"digest": Running("readers", is_nightly=False)}


def weekend(*, stragglers=60, big=27_000, weeks=4):
    """Return nights of a campaign for Saturdays and Sundays.

    Big on the Friday night, which plans Saturday; stragglers on some others.
    """
    by_weekday = {"Friday": big, "Saturday": big // 2, "Sunday": stragglers, "Thursday": stragglers}
    days = [(date.fromisoformat(DS) - timedelta(days=back)) for back in range(1, 7 * weeks + 1)]
    return {
        day.isoformat(): replace(
            USUAL,
            messages={"sale": 10_000}
            | ({"digest": by_weekday[f"{day:%A}"]} if f"{day:%A}" in by_weekday else {}),
        )
        for day in days
    }


def test_a_weekly_campaign_is_compared_by_weekday():
    def says(ds, planned):
        breaches = judge(ds, replace(USUAL, messages={"sale": 10_000, "digest": planned}), weekend(), WEEKLY)
        return [breach.says for breach in breaches if breach.campaigns == ("digest",)]

    assert says("2026-11-14", 13_000) == []
    assert says("2026-11-14", 62) == ["62 messages of digest planned, 13,500 is usual on a Saturday"]
    assert says("2026-11-15", 62) == [], "a few stragglers are usual on a Sunday"
    assert says("2026-11-15", 5_000) == ["5,000 messages of digest planned, 60 is usual on a Sunday"]


def test_nothing_planned_is_a_breach_of_a_due_campaign():
    def says(planned, running, history=WEEK):
        return [breach.says for breach in judge(DS, replace(USUAL, messages=planned), history, running)]

    assert says({"digest": 5000}, RUNNING) == ["0 messages of sale planned, 1,000 is usual"]
    assert says({"digest": 5000}, RUNNING | {"sale": Running("buyers", is_due=False)}) == []
    assert says({"digest": 5000}, {"digest": RUNNING["digest"]}) == [], "it is over, or stopped"
    few = nights(*[replace(USUAL, messages={"sale": 9, "digest": 5000})] * 7)
    assert says({"digest": 5000}, RUNNING, few) == [], "where nine are usual, none is chance"
    weekly = weekend()
    assert says({"sale": 10_000}, WEEKLY, weekly) == [
        "0 messages of digest planned, 13,500 is usual on a Saturday"
    ]


def test_before_enough_like_nights_only_much_is_a_breach():
    young = weekend(weeks=2)  # one or two nights of each weekday
    assert breaches_of(replace(USUAL, messages={"sale": 10_000, "digest": 5}), young, WEEKLY) == []
    assert ("volume", "campaign", ("digest",)) in breaches_of(
        replace(USUAL, messages={"sale": 10_000, "digest": 270_000}), young, WEEKLY
    )


def test_the_scores_of_a_few_stragglers_are_no_drift():
    few = replace(USUAL, messages={"sale": 1000, "digest": 99}, mean_p_open={"sale": 0.08, "digest": 0.2})
    assert ("score_drift", "campaign", ("digest",)) not in breaches_of(few)
    assert ("score_drift", "campaign", ("digest",)) in breaches_of(
        replace(few, messages={"sale": 1000, "digest": 600})
    )


@pytest.mark.parametrize(
    ("occurrence", "waits", "nightly"),
    [
        ({"every": "daily"}, {}, True),
        ({"every": "daily"}, {"postpone_nights": 3, "caps": [{"messages": 1, "days": 7}]}, False),
        ({"every": "daily", "weekdays": ("mon",)}, {}, False),
        ({"every": "weekly"}, {}, False),
        ({"every": "once"}, {}, False),
    ],
)
def test_which_campaigns_run_alike_every_night(occurrence, waits, nightly):
    campaign = parse_document(WELCOME | waits | {"occurrence": occurrence, "start_date": "2026-11-01"})
    assert is_nightly(campaign) is nightly


def test_what_needs_no_history_is_judged_on_the_first_night():
    assert breaches_of(
        replace(USUAL, unknown_timezones_pct=50.0, audiences={"buyers": 0, "readers": 1}), {}
    ) == [
        ("timezones", "night", ()),
        ("audience_empty", "campaign", ("sale",)),
    ]


def test_a_campaign_that_asks_for_approval_waits():
    asking = RUNNING | {"sale": Running("buyers", needs_approval=True)}
    assert breaches_of(USUAL, running=asking) == [("approval_required", "campaign", ("sale",))]
    assert breaches_of(replace(USUAL, messages={"digest": 5000}), {}, asking) == []


def test_a_person_reads_the_numbers():
    breach = Breach("volume", "campaign", ("sale",), "10,000 messages of sale planned, 1,000 is usual")
    result = {
        "decisions": "decisions/ds=2026-11-14@1#0123456789abcdef",
        "verdict_id": "0123456789ab",
        "verdict": "campaigns",
        "held": ["sale"],
        "missing": [],
        "history": "7 nights",
        "breaches": [vars(breach)],
        "figures": {"messages": {"sale": 10_000}},
    }
    text = "\n".join(lines(result))
    assert "sale (10,000)" in text
    assert text.endswith("  verdict 0123456789ab on decisions/ds=2026-11-14@1#0123456789abcdef")
    assert "1,000 is usual" in text

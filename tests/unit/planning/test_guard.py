"""The guard: what is implausible tonight, and what is only different."""

from dataclasses import replace

import pytest

from angelia.planning.guard import Breach, Figures, _render, judge, lines

AUDIENCE_OF = {"sale": "buyers", "digest": "readers"}
USUAL = Figures({"sale": 1000, "digest": 5000}, {"sale": 0.08, "digest": 0.05}, {"buyers": 2000, "readers": 8000}, 1.0, {"sale": 200, "digest": 200})
WEEK = [USUAL] * 7


def found(figures, history=WEEK):
    return [(breach.check, breach.severity, breach.campaigns) for breach in judge(figures, history, AUDIENCE_OF)]


def test_a_usual_night_is_plausible():
    assert found(USUAL) == []
    assert found(USUAL, []) == []


@pytest.mark.parametrize(
    ("changes", "breach"),
    [
        ({"messages": {"sale": 1000, "digest": 59_001}}, ("volume", "night", ())),
        ({"messages": {"sale": 10, "digest": 590}}, ("volume", "night", ())),
        ({"messages": {"sale": 10_000, "digest": 5000}}, ("volume", "campaign", ("sale",))),
        ({"messages": {"sale": 100, "digest": 5000}}, ("volume", "campaign", ("sale",))),
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
    assert breach in found(replace(USUAL, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": {"sale": 9_999, "digest": 5000}},
        {"messages": {"digest": 5000}},  # a weekly campaign on another day
        {"mean_p_open": {"sale": 0.159, "digest": 0.041}},
        {"unknown_timezones_pct": 20.0},
        {"unrendered": {"digest": {"invalid_link": 2}}},
    ],
)
def test_just_inside_is_none(changes):
    assert found(replace(USUAL, **changes)) == []


def test_volumes_need_seven_nights_and_a_campaign_three_of_its_own():
    wild = replace(USUAL, messages={"sale": 90_000, "digest": 50_000})
    assert found(wild, WEEK[:6]) == []
    young = [replace(USUAL, messages={"digest": 5000})] * 5 + [USUAL] * 2
    assert ("volume", "campaign", ("sale",)) not in found(wild, young)
    assert ("volume", "campaign", ("digest",)) in found(wild, young)


def test_what_needs_no_history_is_judged_on_the_first_night():
    assert found(replace(USUAL, unknown_timezones_pct=50.0, audiences={"buyers": 0, "readers": 1}), []) == [
        ("timezones", "night", ()),
        ("audience_empty", "campaign", ("sale",)),
    ]


def test_a_campaign_that_asks_for_approval_waits_whenever_it_would_send():
    asked = judge(USUAL, WEEK, AUDIENCE_OF, ["sale"])
    assert [(breach.check, breach.campaigns) for breach in asked] == [("approval_required", ("sale",))]
    assert judge(replace(USUAL, messages={"digest": 5000}), [], AUDIENCE_OF, ["sale"]) == []


def test_a_sample_is_rendered_as_the_worker_would():
    from angelia.catalog.documents import parse_document
    from angelia.catalog.snapshot import catalog_of
    from angelia.catalog.store import Stored

    documents = [
        {
            "kind": "policy",
            "id": "default",
            "caps": [],
            "salt": "s",
            "holdout": {"share_pct": 0, "salt": "h"},
            "explore": {"slot_share_pct": 0, "epsilon": 0.1, "temperature": 0.02},
        },
        {
            "kind": "template",
            "id": "plain",
            "channels": ["fcm"],
            "variables": {"item": {}, "province": {"source": "user.province"}},
            "variants": {"en": {"title": "{{ item }}", "body": "to {{ province }}"}},
            "link": "https://shop.example/{{ province }}",
        },
        {"kind": "material", "id": "shoe", "template": "plain", "fields": {"item": "shoe"}},
    ]
    catalog = catalog_of([Stored(parse_document(raw), 1) for raw in documents])
    people = [("fujian", "en"), (None, "en"), ("two words", None)]
    tried, failed = _render(catalog, [("sale", "shoe", {"province": province, "locale": locale}) for province, locale in people])
    assert tried == {"sale": 3}
    assert failed == {"sale": {"undefined_variable:province": 1, "invalid_link": 1}}


def test_a_person_reads_the_numbers():
    breach = Breach("volume", "campaign", ("sale",), "10,000 messages of sale planned, 1,000 is usual")
    result = {
        "decisions": "decisions/ds=2026-11-14@1",
        "verdict": "campaigns",
        "held": ["sale"],
        "history": "7 nights",
        "breaches": [vars(breach)],
        "figures": {"messages": {"sale": 10_000}},
    }
    text = "\n".join(lines(result))
    assert "sale (10,000)" in text
    assert "1,000 is usual" in text

"""The guard: what is implausible tonight, and what is only different."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from angelia.catalog.documents import Occurrence, canonical, parse_document
from angelia.catalog.snapshot import Stored, catalog_of
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import user_name, valid_rows
from angelia.errors import GateClosed, NotFound
from angelia.planning.guard import Breach, Figures, Running, _render, guard, is_nightly, judge, lines
from angelia.quality import numbered

DS = "2026-11-14"
RUNNING = {"sale": Running("buyers"), "digest": Running("readers")}
USUAL = Figures({"sale": 1000, "digest": 5000}, {"sale": 0.08, "digest": 0.05}, {"buyers": 2000, "readers": 8000}, 1.0, {"sale": 200, "digest": 200})


def nights(*figures):
    """Figures by night, the last of them the night before."""
    last = date.fromisoformat(DS)
    return {(last - timedelta(days=back)).isoformat(): night for back, night in zip(range(len(figures), 0, -1), figures, strict=True)}


WEEK = nights(*[USUAL] * 7)


def found(figures, history=WEEK, running=RUNNING):
    return [(breach.check, breach.severity, breach.campaigns) for breach in judge(DS, figures, history, running)]


def test_a_usual_night_is_plausible():
    assert found(USUAL) == []
    assert found(USUAL, {}) == []


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
    assert found(wild, nights(*[USUAL] * 6)) == []
    young = nights(*[replace(USUAL, messages={"digest": 5000})] * 5, *[USUAL] * 2)
    assert ("volume", "campaign", ("sale",)) not in found(wild, young)
    assert ("volume", "campaign", ("digest",)) in found(wild, young)


WEEKLY = RUNNING | {"digest": Running("readers", is_nightly=False)}


def weekend(*, stragglers=60, big=27_000, weeks=4):
    """Nights of a campaign for Saturdays and Sundays: big on the Friday night (which plans Saturday), stragglers on some others."""
    by_weekday = {"Friday": big, "Saturday": big // 2, "Sunday": stragglers, "Thursday": stragglers}
    days = [(date.fromisoformat(DS) - timedelta(days=back)) for back in range(1, 7 * weeks + 1)]
    return {
        day.isoformat(): replace(USUAL, messages={"sale": 10_000} | ({"digest": by_weekday[f"{day:%A}"]} if f"{day:%A}" in by_weekday else {}))
        for day in days
    }


def test_a_weekly_campaign_is_compared_with_nights_of_the_same_weekday():
    def says(ds, planned):
        breaches = judge(ds, replace(USUAL, messages={"sale": 10_000, "digest": planned}), weekend(), WEEKLY)
        return [breach.says for breach in breaches if breach.campaigns == ("digest",)]

    assert says("2026-11-14", 13_000) == []
    assert says("2026-11-14", 62) == ["62 messages of digest planned, 13,500 is usual on a Saturday"]
    assert says("2026-11-15", 62) == [], "a few stragglers are usual on a Sunday"
    assert says("2026-11-15", 5_000) == ["5,000 messages of digest planned, 60 is usual on a Sunday"]


def test_before_there_are_enough_like_nights_only_much_is_a_breach():
    young = weekend(weeks=2)  # one or two nights of each weekday
    assert found(replace(USUAL, messages={"sale": 10_000, "digest": 5}), young, WEEKLY) == []
    assert ("volume", "campaign", ("digest",)) in found(replace(USUAL, messages={"sale": 10_000, "digest": 270_000}), young, WEEKLY)


def test_the_scores_of_a_few_stragglers_are_no_drift():
    few = replace(USUAL, messages={"sale": 1000, "digest": 99}, mean_p_open={"sale": 0.08, "digest": 0.2})
    assert ("score_drift", "campaign", ("digest",)) not in found(few)
    assert ("score_drift", "campaign", ("digest",)) in found(replace(few, messages={"sale": 1000, "digest": 600}))


@pytest.mark.parametrize(
    ("occurrence", "nightly"),
    [({"every": "daily"}, True), ({"every": "daily", "weekdays": ("mon",)}, False), ({"every": "weekly"}, False), ({"every": "once"}, False)],
)
def test_which_campaigns_run_alike_every_night(occurrence, nightly):
    assert is_nightly(Occurrence(**occurrence)) is nightly


def test_what_needs_no_history_is_judged_on_the_first_night():
    assert found(replace(USUAL, unknown_timezones_pct=50.0, audiences={"buyers": 0, "readers": 1}), {}) == [
        ("timezones", "night", ()),
        ("audience_empty", "campaign", ("sale",)),
    ]


def test_a_campaign_that_asks_for_approval_waits_whenever_it_would_send():
    asking = RUNNING | {"sale": Running("buyers", needs_approval=True)}
    assert found(USUAL, running=asking) == [("approval_required", "campaign", ("sale",))]
    assert found(replace(USUAL, messages={"digest": 5000}), {}, asking) == []


POLICY = {
    "kind": "policy",
    "id": "default",
    "caps": [],
    "salt": "s",
    "holdout": {"share_pct": 0, "salt": "h"},
    "explore": {"slot_share_pct": 0, "epsilon": 0.1, "temperature": 0.02},
}
TEMPLATE = {
    "kind": "template",
    "id": "plain",
    "channels": ["fcm"],
    "variables": {"item": {}, "province": {"source": "user.province"}},
    "variants": {"en": {"title": "{{ item }}", "body": "to {{ province }}"}},
    "link": "https://shop.example/{{ province }}",
}
SHOE = {"kind": "material", "id": "shoe", "template": "plain", "category": "shoes", "fields": {"item": "shoe"}}
EVERYONE = {"kind": "audience", "id": "everyone", "predicate": "reachable('fcm')"}
CHANNEL = {"kind": "channel", "id": "fcm", "provider": "fcm_v1", "cost_per_message": 0.0, "capacity_per_hour": 100, "quota_per_minute": 100}
SALE = {
    "kind": "campaign",
    "id": "sale",
    "name": "Sale",
    "topic": "promo",
    "owner": "growth",
    "audience": "everyone",
    "materials": ["shoe"],
    "channels": ["fcm"],
    "priority": "medium",
    "guarantee": "at_most_once",
    "value_per_open": 0.05,
    "occurrence": {"every": "daily"},
    "start_date": "2026-11-01",
    "end_date": "2026-12-31",
    "holdout_pct": 0,
    "ttl_hours": 12,
}


def catalog_with(*documents):
    return catalog_of([Stored(parse_document(raw), 1) for raw in (POLICY, *documents)])


def test_a_sample_is_rendered_as_the_worker_would():
    people = [("fujian", "en"), (None, "en"), ("two words", None)]
    sample = [("sale", "shoe", {"province": province, "locale": locale}) for province, locale in people]
    tried, failed = _render(catalog_with(TEMPLATE, SHOE), sample)
    assert tried == {"sale": 3}
    assert failed == {"sale": {"undefined_variable:province": 1, "invalid_link": 1}}


@pytest.mark.parametrize(
    "link",
    [
        "shop.example/x",  # not absolute
        "/x",
        "https:///x",  # no host
        "https://?x=1",
        "http://:80/x",
        "https://.../x",
        "https://shop@evil.example/x",  # not the host that it seems to be
        "https://shop.example/a b",
        "https://shop.example/{{ '{' }}item}",  # braces left: a variable of another template language
        "https://{{ province }}/x",  # the host comes from data, and the data is empty
        "javascript://shop.example/%0aalert(1)",
    ],
)
def test_invalid_links_hold_the_campaign_back(link):
    template = TEMPLATE | {"link": link, "variables": {"item": {}, "province": {"source": "user.province", "default": ""}}}
    sample = [("sale", "shoe", {"province": None, "locale": "en"})] * 5
    tried, failed = _render(catalog_with(template, SHOE), sample)
    assert failed == {"sale": {"invalid_link": 5}}
    (breach,) = judge(DS, replace(USUAL, rendered=tried, unrendered=failed), {}, RUNNING)
    assert (breach.check, breach.campaigns) == ("rendering", ("sale",))
    assert breach.says == "5 of 5 sampled messages of sale cannot be rendered: invalid_link 5"


@pytest.mark.parametrize(
    "link", ["https://shop.example", "http://shop.example:8080/a?b=c#d", "https://[2001:db8::1]/x", "https://müller.example/ä", "app://x"]
)
def test_valid_links_hold_nothing_back(link):
    assert _render(catalog_with(TEMPLATE | {"link": link}, SHOE), [("sale", "shoe", {"province": "fujian", "locale": "en"})])[1] == {}


@pytest.fixture
def planned(lake):
    """A night of eight people, each of whom gets the sale."""
    documents = (POLICY, TEMPLATE, SHOE, EVERYONE, CHANNEL, SALE)
    bodies = [{"kind": raw["kind"], "id": raw["id"], "version": 1, "body": canonical(parse_document(raw))} for raw in documents]
    put(lake, "catalog_snapshot", pa.Table.from_pylist(bodies, schema=arrow.schema(dataset("catalog_snapshot"))), meta={"stopped": []})
    put(lake, "user_features", valid_rows("user_features", 8), meta={"n_users": 8})
    put(lake, "audience_members", valid_rows("audience_members", 8), meta={"sizes": {"everyone": 8}})
    choice = {
        "campaign_id": "sale", "message_id": "0" * 32, "occurrence": DS, "material_id": "shoe", "material_propensity": 1.0,
        "slot": datetime(2026, 11, 15, 9, tzinfo=UTC), "slot_propensity": None, "channel": "fcm", "outcome": "sent", "p_open": 0.08,
        "value_micros": 1, "price_micros": 0, "arm": None, "is_explore": False,
    }  # fmt: skip
    rows = [{"ordinal": i, "user_id": user_name(i), "choices": [choice | {"message_id": f"{i:032x}"}]} for i in range(8)]
    put(lake, "decisions", pa.Table.from_pylist(rows, schema=arrow.schema(dataset("decisions"))))
    return lake


def put(lake, name, table, **extra):
    with lake.attempt(name, ds=DS) as attempt:
        attempt.write(table, "part-0000.parquet")
        attempt.publish(**extra)


def test_the_guard_measures_judges_and_keeps_both(planned):
    result = guard(planned, DS)
    assert (result["verdict"], result["figures"]["messages"], result["figures"]["rendered"]) == ("open", {"sale": 8}, {"sale": 8})
    assert numbered.load(planned, "guard", DS) == (f"quality/main/{DS}/guard/0001.json", json.loads(json.dumps(result)))
    guard(planned, DS)
    assert numbered.load(planned, "guard", DS)[0].endswith("0002.json")


def test_a_guard_that_could_not_measure_crashed_which_is_no_breach_and_blocks(planned):
    commit = planned.require("user_features", ds=DS)
    path = Path(planned.paths(commit)[0])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(GateClosed, match=r"crashed .*may be good or bad, nothing is emitted") as crash:
        guard(planned, DS)
    assert str(path.parent) not in crash.value.one_line()
    _, kept = numbered.load(planned, "guard", DS)
    assert kept["verdict"] == "crashed"
    assert kept.keys() == {"ds", "decisions", "verdict", "error"}


def test_a_template_that_cannot_be_read_crashes_the_guard_and_one_that_cannot_be_rendered_does_not(planned):
    commit = planned.require("catalog_snapshot", ds=DS)
    rows = planned.read(commit).to_pylist()
    broken = [row | {"body": row["body"].replace("{{ item }}", "{{ item")} if row["kind"] == "template" else row for row in rows]
    put(planned, "catalog_snapshot", pa.Table.from_pylist(broken, schema=arrow.schema(dataset("catalog_snapshot"))), meta={"stopped": []})
    result = guard(planned, DS)
    assert (result["verdict"], result["held"]) == ("campaigns", ["sale"])
    assert result["figures"]["unrendered"] == {"sale": {"template_error": 8}}
    torn = [row | {"body": row["body"][:20]} if row["kind"] == "template" else row for row in rows]
    put(planned, "catalog_snapshot", pa.Table.from_pylist(torn, schema=arrow.schema(dataset("catalog_snapshot"))), meta={"stopped": []})
    with pytest.raises(GateClosed, match="crashed"):
        guard(planned, DS)


def test_a_material_the_catalog_does_not_hold_is_a_breach_of_its_campaign(planned):
    commit = planned.require("catalog_snapshot", ds=DS)
    rows = [row for row in planned.read(commit).to_pylist() if row["id"] != "shoe"]
    put(planned, "catalog_snapshot", pa.Table.from_pylist(rows, schema=arrow.schema(dataset("catalog_snapshot"))), meta={"stopped": []})
    result = guard(planned, DS)
    assert (result["held"], result["figures"]["unrendered"]) == (["sale"], {"sale": {"unknown_material": 8}})


def test_earlier_figures_that_cannot_be_read_crash_the_guard_and_a_night_it_crashed_on_is_skipped(planned):
    numbered.store(planned, "guard", "2026-11-12", {"verdict": "crashed", "error": "x"})
    assert guard(planned, DS)["verdict"] == "open"
    planned.store.create("quality/main/2026-11-13/guard/0001.json", b"{torn")
    with pytest.raises(GateClosed, match="crashed") as crash:
        guard(planned, DS)
    assert crash.value.fix == "run `angelia plan guard --ds 2026-11-13` again"
    assert numbered.load(planned, "guard", DS)[1]["verdict"] == "crashed"


def test_a_night_without_a_plan_is_a_mistake_and_no_crash(lake):
    with pytest.raises(NotFound, match="decisions has no commit"):
        guard(lake, DS)
    assert numbered.load(lake, "guard", DS) is None


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

"""The guard on a night in a lake: what it measures and keeps, and what crashes it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from angelia import cli
from angelia.catalog.documents import canonical, parse_document
from angelia.catalog.snapshot import StoredDocument, catalog_of
from angelia.contracts import arrow, dataset
from angelia.contracts.rows import valid_rows
from angelia.errors import GateClosed, NotFound
from angelia.lake import numbered
from angelia.planning.guard import guard, is_due, judge
from angelia.planning.guard_figures import NightFigures, PlanCommits, build, measure
from angelia.planning.verdict import lines
from tests.planned_night import DS, POLICY, SALE, SHOE, TEMPLATE, decide, plan_a_night, put


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, True),
        ({"occurrence": {"every": "weekly"}}, True),
        ({"occurrence": {"every": "once"}}, False),
        ({"occurrence": {"every": "daily", "weekdays": ["sun"]}}, True),
        ({"occurrence": {"every": "daily", "weekdays": ["sat"]}}, False),  # stragglers only
        ({"end_date": "2026-11-14"}, False),
        ({"start_date": "2026-11-16"}, False),
    ],
)
def test_which_campaigns_are_missed_if_they_plan_nothing(changes, due):
    assert is_due(parse_document(SALE | changes), date(2026, 11, 15)) is due


def catalog_with(*documents):
    return catalog_of([StoredDocument(parse_document(raw), 1) for raw in (POLICY, *documents)])


def test_a_sample_is_rendered_as_the_worker_would():
    people = [("fujian", "en"), (None, "en"), ("two words", None)]
    sample = [
        ("sale", "shoe", "fcm", {"province": province, "locale": locale}) for province, locale in people
    ]
    tried, failed, _ = build(catalog_with(TEMPLATE, SHOE), sample)
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
    template = TEMPLATE | {
        "link": link,
        "variables": {"item": {}, "province": {"source": "user.province", "default": ""}},
    }
    sample = [("sale", "shoe", "fcm", {"province": None, "locale": "en"})] * 5
    tried, failed, _ = build(catalog_with(template, SHOE), sample)
    assert failed == {"sale": {"invalid_link": 5}}
    (breach,) = judge(DS, NightFigures({"sale": 5}, {}, {}, 0.0, tried, failed), {}, {})
    assert (breach.check, breach.campaigns) == ("rendering", ("sale",))
    assert breach.says == "5 of 5 sampled messages of sale cannot be rendered: invalid_link 5"


@pytest.mark.parametrize(
    "link",
    [
        "https://shop.example",
        "http://shop.example:8080/a?b=c#d",
        "https://[2001:db8::1]/x",
        "https://müller.example/ä",
        "app://x",
    ],
)
def test_valid_links_hold_nothing_back(link):
    assert (
        build(
            catalog_with(TEMPLATE | {"link": link}, SHOE),
            [("sale", "shoe", "fcm", {"province": "fujian", "locale": "en"})],
        )[1]
        == {}
    )


@pytest.fixture
def planned(lake):
    """A night of eight people, each of whom gets the sale, and not the digest."""
    return plan_a_night(lake)


def test_the_guard_measures_judges_and_keeps_both(planned):
    result = guard(planned, DS)
    assert (result["verdict"], result["figures"]["messages"], result["figures"]["rendered"]) == (
        "open",
        {"sale": 8},
        {"sale": 8},
    )
    assert numbered.load(planned, "guard", DS) == (
        f"quality/main/{DS}/guard/0001.json",
        json.loads(json.dumps(result)),
    )
    guard(planned, DS)
    assert numbered.load(planned, "guard", DS)[0].endswith("0002.json")


def test_what_is_measured(planned):
    rejects = {"timezone_null": 2, "timezone_unknown": 1, "birth_year_invalid": 4}
    put(planned, "user_features", valid_rows("user_features", 8), meta={"n_users": 8}, rejects=rejects)
    put(
        planned,
        "audience_members",
        valid_rows("audience_members", 8),
        meta={"sizes": {"everyone": 7, "nobody": 0}},
    )
    assert measure(planned, PlanCommits.take(planned, planned.require("decisions", ds=DS))) == NightFigures(
        messages={"sale": 8},
        mean_p_open={"sale": 0.045},
        audiences={"everyone": 7, "nobody": 0},
        unknown_timezones_pct=37.5,
        rendered={"sale": 8},
        unrendered={},
    )
    result = guard(planned, DS)
    assert (result["verdict"], result["held"], result["missing"]) == ("night", [], [])
    assert lines(result)[1] == "  night: 37.5 % of people have no known timezone, at most 20 % are allowed"


def nobody_in_it(lake):
    put(lake, "audience_members", valid_rows("audience_members", 8), meta={"sizes": {"everyone": 0}})


def test_an_audience_that_is_empty_holds_its_campaign_back(planned):
    """Its messages may be those of a plan made before the audience collapsed."""
    nobody_in_it(planned)
    result = guard(planned, DS)
    assert (result["verdict"], result["held"], result["missing"]) == ("campaigns", ["sale"], [])
    head, *breaches, _ = lines(result)
    assert (
        head
        == "decisions/ds=2026-11-14@1: 8 messages, no history; held back unless a person wants them: sale (8)"
    )
    assert breaches == ["  campaign: audience everyone of campaign sale is empty"]


def nights_of(lake, **messages):
    """Keep a week of nights with so many messages of each campaign."""
    figures = {
        "messages": messages,
        "mean_p_open": {},
        "audiences": {"everyone": 8},
        "unknown_timezones_pct": 0.0,
    }
    for back in range(1, 8):
        numbered.store(
            lake,
            "guard",
            (date.fromisoformat(DS) - timedelta(days=back)).isoformat(),
            {"verdict": "open", "figures": figures},
        )


def test_a_missing_campaign_asks_nobody(planned):
    nights_of(planned, sale=20, digest=8)
    sale, digest = planned.read(planned.require("decisions", ds=DS))["choices"][0].as_py()
    decide(
        planned,
        [
            [digest | {"outcome": "sent", "message_id": f"{i:032x}"}, sale | {"outcome": "no_slot"}]
            for i in range(8)
        ],
    )
    result = guard(planned, DS)
    assert (result["verdict"], result["held"], result["missing"]) == ("missing", [], ["sale"])
    head, *breaches, _ = lines(result)
    assert head == (
        "decisions/ds=2026-11-14@2: 8 messages, 7 nights; nothing is held back, but look at what "
        "plans no message: sale"
    )
    assert breaches == ["  campaign: 0 messages of sale planned, 20 is usual"]
    nobody_in_it(planned)
    assert lines(guard(planned, DS))[1:-1] == [
        *breaches,
        "  campaign: audience everyone of campaign sale is empty",
    ]


def test_a_night_that_misses_its_most_is_held_back(planned):
    nights_of(planned, sale=20)
    nobody_in_it(planned)
    decide(planned, [])
    result = guard(planned, DS)
    assert (result["verdict"], result["held"], result["missing"]) == ("night", [], ["sale"])


def test_a_campaign_that_is_over_is_not_missed(planned):
    commit = planned.require("catalog_snapshot", ds=DS)
    over = canonical(parse_document(SALE | {"end_date": "2026-11-13"}))
    rows = [row | {"body": over} if row["id"] == "sale" else row for row in planned.read(commit).to_pylist()]
    put(
        planned,
        "catalog_snapshot",
        pa.Table.from_pylist(rows, schema=arrow.schema(dataset("catalog_snapshot"))),
        meta={"stopped": []},
    )
    nobody_in_it(planned)
    decide(planned, [])
    result = guard(planned, DS)
    assert (result["verdict"], result["breaches"]) == ("open", [])
    assert "plausible: nothing is out of bounds" in lines(result)[0]


def test_the_guard_is_logged_with_what_it_read_and_what_it_said(planned, settings_home, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "nightly_personalization")
    nobody_in_it(planned)
    with pytest.raises(SystemExit) as ended:
        cli.main(["plan", "guard", "--ds", DS, "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["held"] == ["sale"]
    (line,) = map(json.loads, (settings_home / "logs" / "angelia.jsonl").read_text().splitlines())
    assert (line["step"], line["ds"], line["result"]) == ("plan guard", DS, "ok")
    assert line["rows_in"] == {"decisions": 8, "user_features": 8, "catalog_snapshot": 6}
    assert (line["verdict"], line["held"], line["missing"]) == ("campaigns", ["sale"], [])


def test_a_guard_that_crashed_blocks_and_breaches_nothing(planned):
    commit = planned.require("user_features", ds=DS)
    path = Path(planned.paths(commit)[0])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(GateClosed, match=r"crashed .*may be good or bad, nothing is emitted") as crash:
        guard(planned, DS)
    assert str(path.parent) not in crash.value.one_line()
    _, kept = numbered.load(planned, "guard", DS)
    assert kept["verdict"] == "crashed"
    assert kept.keys() == {"ds", "decisions", "verdict", "error", "verdict_id"}


def test_only_an_unreadable_template_crashes_the_guard(planned):
    commit = planned.require("catalog_snapshot", ds=DS)
    rows = planned.read(commit).to_pylist()
    broken = [
        row | {"body": row["body"].replace("{{ item }}", "{{ item")} if row["kind"] == "template" else row
        for row in rows
    ]
    put(
        planned,
        "catalog_snapshot",
        pa.Table.from_pylist(broken, schema=arrow.schema(dataset("catalog_snapshot"))),
        meta={"stopped": []},
    )
    result = guard(planned, DS)
    assert (result["verdict"], result["held"]) == ("campaigns", ["sale"])
    assert result["figures"]["unrendered"] == {"sale": {"template_error": 8}}
    torn = [row | {"body": row["body"][:20]} if row["kind"] == "template" else row for row in rows]
    put(
        planned,
        "catalog_snapshot",
        pa.Table.from_pylist(torn, schema=arrow.schema(dataset("catalog_snapshot"))),
        meta={"stopped": []},
    )
    with pytest.raises(GateClosed, match="crashed"):
        guard(planned, DS)


def test_an_unknown_material_is_a_breach_of_its_campaign(planned):
    commit = planned.require("catalog_snapshot", ds=DS)
    rows = [row for row in planned.read(commit).to_pylist() if row["id"] != "shoe"]
    put(
        planned,
        "catalog_snapshot",
        pa.Table.from_pylist(rows, schema=arrow.schema(dataset("catalog_snapshot"))),
        meta={"stopped": []},
    )
    result = guard(planned, DS)
    assert (result["held"], result["figures"]["unrendered"]) == (["sale"], {"sale": {"unknown_material": 8}})


def test_unreadable_earlier_figures_crash_the_guard(planned):
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


def test_messages_the_provider_would_refuse_hold_their_campaign(planned):
    commit = planned.require("catalog_snapshot", ds=DS)
    rows = [
        row | {"body": row["body"].replace("to {{ province }}", "ü" * 2500)}
        if row["kind"] == "template"
        else row
        for row in planned.read(commit).to_pylist()
    ]
    put(
        planned,
        "catalog_snapshot",
        pa.Table.from_pylist(rows, schema=arrow.schema(dataset("catalog_snapshot"))),
        meta={"stopped": []},
    )
    result = guard(planned, DS)
    assert (result["verdict"], result["held"]) == ("campaigns", ["sale"])
    assert result["figures"]["refused"] == {"sale": {"fcm: payload_too_large": 8}}
    assert lines(result)[1:-1] == [
        "  campaign: 8 of 8 sampled messages of sale (100 %) would be rejected by the provider: "
        "fcm: payload_too_large 8"
    ]


def test_a_small_share_that_would_be_refused_is_reported():
    figures = {"messages": {"sale": 900}, "rendered": {"sale": 200}, "refused": {"sale": {"fcm: x": 1}}}
    result = {
        "decisions": "d",
        "history": "h",
        "verdict": "open",
        "missing": [],
        "held": [],
        "breaches": [],
        "figures": figures,
        "verdict_id": "v",
    }
    assert judge(DS, NightFigures({}, {}, {}, 0.0, {"sale": 200}, {}, {"sale": {"fcm: x": 1}}), {}, {}) == []
    assert lines(result)[1] == (
        "  1 of 200 sampled messages of sale (0.50 %) would be rejected by the provider: fcm: x 1"
    )

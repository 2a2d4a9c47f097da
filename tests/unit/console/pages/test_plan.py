"""The plan's page, two nights compared, and the form of a what-if."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from angelia.asking import kept
from angelia.asking.settings import parse
from angelia.asking.whatif import what_if
from angelia.console.planned import nights, questions
from angelia.console.words import at_hours
from tests.unit.spark_jobs.test_plan_dispatch import DS

PROBLEM = re.compile(r'id="([^"]*)-problem" role="alert">([^<]*)')


def problems(page):
    return {name: unescape(says) for name, says in PROBLEM.findall(page)}


def test_a_plan_shows_hours_prices_campaigns_and_reasons(console, night):
    page = console("VIEWER").get("/plan").text
    plan = nights.plan_of(console.app.state.engine, night, DS)
    for name, n in plan.outcomes.items():
        assert re.search(
            rf'<th scope="row">{name}</th><td class="n" data-label="pairs of person and campaign">{n:,}</td>',
            page,
        )
    for campaign in plan.campaigns:
        assert f"/campaigns/{campaign.campaign}" in page
    priced = [hour for channel in plan.channels for hour in channel.hours if hour.price_micros]
    assert priced
    assert all(f"{hour.price_micros / 1e6:.4f}" in page for hour in priced)
    assert f"{plan.gap_pct} %" in page
    says = {channel.channel: at_hours(channel.says) for channel in plan.channels}
    # The heading above has named the channel already.
    assert all(words.removeprefix(f"{name}: ") in unescape(page) for name, words in says.items())


@pytest.mark.parametrize("path", ["/plan?ds={}", "/plan/compare?ds={}", "/plan/what-if?ds={}"])
def test_a_night_without_a_plan_names_those_that_have(console, night, path):
    answer = console("USER").get(path.format("2031-01-01"))
    assert answer.status_code == 404
    assert "The night 2031-01-01 has no plan." in answer.text
    assert f"What to do: choose one of {DS}" in answer.text
    assert 'href="/plan">Back to Plan</a>' in answer.text


def test_a_viewer_sees_the_plan_and_no_form(console, night):
    client = console("VIEWER")
    assert "What if" not in client.get("/plan").text
    assert client.get("/plan/what-if").status_code == 403


def test_an_empty_lake_has_no_plan(console):
    client = console("USER")
    assert "No night has a plan yet" in client.get("/plan").text
    assert client.get("/plan/what-if").status_code == 404
    assert client.get("/plan/compare").status_code == 404


@pytest.mark.parametrize("path", ["/plan?ds=x", "/plan?ds=2031-01-01", "/plan/compare?ds=2026-13-01"])
def test_a_night_that_is_none_is_refused(console, night, path):
    assert console("VIEWER").get(path).status_code in (400, 404)


def test_two_nights_are_compared_by_the_hour_of_the_day(console, night):
    plan = night.require("decisions", ds=DS)
    meta = json.loads(json.dumps(plan.meta).replace("2026-11-", "2026-10-"))
    meta["by_campaign"]["sale"] -= 7
    with night.attempt("decisions", ds="2026-10-14") as attempt:
        attempt.write(night.read(plan).slice(0, 1), "part-0000.parquet")
        attempt.publish(meta=meta)
    page = console("VIEWER").get(f"/plan/compare?ds={DS}&other=2026-10-14").text
    n = plan.meta["by_campaign"]["sale"]
    cells = (f'data-label="2026-10-14">{n - 7:,}<', f'data-label="{DS}">{n:,}<', 'data-label="change">+7<')
    assert all(cell in page for cell in cells)
    over = console("VIEWER").get("/plan").text
    assert "Over nights" in over
    assert "/plan/compare?ds=" in over
    # The night before was published without figures, as older versions did.
    assert "planned by an older version: 2026-11-13." in over
    assert console("VIEWER").get("/plan?ds=2026-11-13").status_code == 404


def test_each_wrong_value_is_named_at_its_field(console, night):
    typed = {
        "caps.user_per_day": "many", "budget.sale": "0", "window.sale": "9to5", "hours.fcm": "20=0 25=3",
        "hours.sms": "noon", "explore.epsilon": "7", "channels.sale": "smoke", "priority.sale": "highest",
    }  # fmt: skip
    answer = console("USER").post("/plan/what-if", data={"ds": DS, **typed})
    assert answer.status_code == 400
    named = problems(answer.text)
    assert set(named) == set(typed)
    assert named["window.sale"] == "Hours are written as 9-18; or none."
    assert named["hours.fcm"] == "There is no hour 25: 00 to 23."
    assert "data-trigger" not in answer.text
    # What was typed stays.
    assert 'value="9to5"' in answer.text


def test_a_sound_what_if_is_handed_to_its_dag(console, night):
    typed = {"ds": DS, "caps.user_per_day": " 1 ", "hours.fcm": "20=0, 21=5", "min_gap_hours": ""}
    page = console("USER").post("/plan/what-if", data=typed).text
    settings = {"caps.user_per_day": "1", "capacity.fcm.20": "0", "capacity.fcm.21": "5"}
    conf = json.loads(unescape(re.search(r'data-conf="([^"]*)"', page)[1]))
    assert conf == {"ds": DS, "settings": settings}
    name = kept.question(night.require("decisions", ds=DS).ref, settings)
    assert f'data-then="/plan/what-if/{DS}/{name}"' in page
    assert 'data-dag="plan_whatif"' in page
    command = "--set caps.user_per_day=1 --set capacity.fcm.20=0 --set capacity.fcm.21=5"
    assert command in re.sub("</?span>", "", page)


def test_values_as_they_are_change_nothing(console, night):
    page = console("USER").get("/plan/what-if").text
    typed = dict(re.findall(r'<input id="([^"]*)" name="[^"]*" value="([^"]*)"', page))
    assert len(typed) > 20
    page = console("USER").post("/plan/what-if", data={"ds": DS, **typed}).text
    assert "Nothing is changed" in page


def test_an_answer_is_shown_as_a_difference(console, night):
    settings = parse(["caps.user_per_day=1"])
    name = kept.question(night.require("decisions", ds=DS).ref, settings)
    client = console("VIEWER")
    path = f"/plan/what-if/{DS}/{name}"
    waiting = client.get(path).text
    assert "Being solved" in waiting
    assert f'data-run-like="whatif_{name}"' in waiting
    answer = what_if(night, DS, settings)
    assert kept.keep(night, answer) == name
    page = client.get(path).text
    total = answer.total
    assert f'data-label="what if">{total.what_if.messages:,}<' in page
    assert f'data-label="change">{total.what_if.messages - total.plan.messages:,}<' in page
    assert f"{answer.certificates['what_if']['gap_pct']} %" in page
    # What is sent to learn from is worth something, too, and the bound leaves it out.
    money = {row.name: row for row in questions.sides_of(kept.load(night, DS, name)).money}
    assert money["value of what was chosen"].b <= money["that is at most"].b
    assert money["value, with what is sent to learn from"].b == total.what_if.value_micros
    assert all(one.gained + one.lost + one.moved == 0 or name in page for name, one in answer.moves.items())
    assert f"/plan/what-if/{DS}/{name}" in client.get("/plan").text
    again = console("USER").post("/plan/what-if", data={"ds": DS, **settings}).text
    assert "The answer is known" in again

"""Replay and resend: forms checked at their fields, and a replay beside main."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from angelia.console.planned import nights, replays
from angelia.lake import Lake, numbered
from angelia.planning.replay import COMPARED, branch_for
from tests.unit.console.pages.test_plan import problems
from tests.unit.spark_jobs.test_plan_dispatch import DS


def conf_of(page):
    return json.loads(unescape(re.search(r'data-conf="([^"]*)"', page)[1]))


@pytest.fixture
def replayed(night, settings_home):
    """Return a branch that decided the night again with seven messages fewer."""
    branch = Lake(night.store, f"replay-{DS}-0123abcd")
    plan = night.require("decisions", ds=DS)
    meta = json.loads(json.dumps(plan.meta))
    meta["by_campaign"]["sale"] -= 7
    with branch.attempt("decisions", ds=DS) as attempt:
        attempt.write(night.read(plan).slice(0, 1), "part-0000.parquet")
        attempt.publish(meta=meta)
    return branch


def test_a_replay_is_handed_to_the_backfill(console, night):
    typed = {"first": DS, "last": DS, "window.sale": "9-18"}
    page = console("USER").post("/replay", data=typed).text
    changes = {"sale": {"send_window": {"start": 9, "end": 18}}}
    assert conf_of(page) == {"mode": "replay", "first": DS, "last": DS, "changes": changes}
    assert f'data-then="/replay/{branch_for([DS], changes)}"' in page
    assert 'data-dag="campaign_backfill"' in page


def test_a_replays_form_has_only_what_a_plan_can_follow(console, night):
    page = console("USER").get("/replay").text
    assert 'name="budget.sale"' in page
    assert not re.search(r'name="(capacity|cost|stop|hours)\.', page)


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"first": "x", "last": DS}, {"first"}),
        ({"first": DS, "last": "2031-01-01"}, {"last"}),
        ({"first": DS, "last": "2026-11-13"}, {"last"}),
        ({"first": DS, "last": DS, "window.sale": "9to5"}, {"window.sale"}),
        ({}, {"first", "last"}),
    ],
)
def test_a_wrong_replay_is_named_at_its_field(console, night, typed, wrong):
    answer = console("USER").post("/replay", data=typed)
    assert answer.status_code == 400
    assert set(problems(answer.text)) == wrong
    assert "data-trigger" not in answer.text


def test_who_may_wait_is_changed_for_one_night_alone(console, night, monkeypatch):
    typed = {"first": DS, "last": DS, "caps.sale.per_week": "1", "postpone.sale": "3"}
    page = console("USER").post("/replay", data=typed)
    assert conf_of(page.text)["changes"]["sale"]["postpone_nights"] == 3
    assert set(problems(console("USER").post("/replay", data=typed | {"postpone.sale": "x"}).text)) == {
        "postpone.sale"
    }
    monkeypatch.setattr(nights, "planned", lambda lake: ["2026-11-15", DS])
    answer = console("USER").post("/replay", data=typed | {"last": "2026-11-15"})
    assert answer.status_code == 400
    assert "postpone_nights of sale cannot be replayed over 2 nights" in problems(answer.text)["last"]


def test_a_night_that_cannot_be_opened_leaves_the_list(console, replayed):
    # The night before was published without what it was made from.
    page = console("USER").get("/replay?first=2026-11-13&last=2026-11-13")
    assert page.status_code == 200
    assert "cites no" in problems(page.text)["first"]
    assert f"/replay/{replayed.branch}" in page.text


def test_a_viewer_sees_replays_and_no_form(console, replayed):
    page = console("VIEWER").get("/replay").text
    assert f"/replay/{replayed.branch}" in page
    assert "<form" not in page
    assert console("VIEWER").post("/replay", data={}).status_code == 403


def test_a_replay_stands_beside_main(console, replayed, night):
    plan = night.require("decisions", ds=DS)
    n = plan.meta["by_campaign"]["sale"]
    page = console("VIEWER").get(f"/replay/{replayed.branch}").text
    for cell in (f'data-label="main">{n:,}<', f'data-label="replay">{n - 7:,}<', 'data-label="change">-7<'):
        assert cell in page
    assert "gain one" not in page
    people = {"sale": {"main": n, "replay": n - 7, "both": n - 9, "gained": 2, "lost": 9}}
    ref = replayed.require("decisions", ds=DS).ref
    numbered.store(replayed, COMPARED, DS, {"replay": ref, "campaigns": people})
    page = console("VIEWER").get(f"/replay/{replayed.branch}").text
    assert 'data-label="lose one">9<' in page


def test_a_comparison_of_an_older_replay_is_not_shown(console, replayed):
    numbered.store(replayed, COMPARED, DS, {"replay": "decisions/other@1", "campaigns": {"sale": {}}})
    assert "gain one" not in console("VIEWER").get(f"/replay/{replayed.branch}").text


def test_a_replay_under_way_says_so(console, night):
    page = console("VIEWER").get("/replay/replay-2026-11-14-00000000").text
    assert "Being decided" in page
    assert 'data-run-like="replay-2026-11-14-00000000"' in page


@pytest.mark.parametrize("name", ["main", "replay-", "replay-x%2F..", "Replay-1"])
def test_what_is_no_replay_is_not_found(console, night, name):
    assert console("VIEWER").get(f"/replay/{name}").status_code == 404


def test_branches_without_a_plan_are_no_replays(night, replayed):
    numbered.store(Lake(night.store, "replay-empty"), COMPARED, DS, {})
    assert [one.branch for one in replays.replays(night)] == [replayed.branch]


@pytest.fixture
def sent(night):
    """Return the lake with manifests of the night."""
    from angelia.delivery.manifest import sample_plan

    sample_plan.make(night, DS, 10)
    return night


def test_a_resend_is_handed_to_the_backfill(console, sent):
    typed = {"first": DS, "last": DS, "campaign": ["sale"]}
    page = console("USER").post("/replay/resend", data=typed).text
    assert conf_of(page) == {"mode": "resend", "first": DS, "last": DS, "campaigns": ["sale"]}
    assert "/replay/resend?run=resend_" in page


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"campaign": []}, "Choose at least one campaign"),
        ({"campaign": ["nothing"]}, "send nothing of nothing"),
        ({"campaign": ["sale"], "last": "2026-11-13"}, "has no plan"),
    ],
)
def test_a_wrong_resend_is_named_at_its_field(console, sent, typed, says):
    answer = console("USER").post("/replay/resend", data={"first": DS, "last": DS} | typed)
    assert answer.status_code == 400
    assert any(says in text for text in problems(answer.text).values())


def test_a_stopped_campaign_is_not_sent_again(console, sent):
    from angelia.contracts import arrow, dataset
    from angelia.contracts.rows import valid_rows

    row = valid_rows("stops", 1).to_pylist()[0] | {"campaign_id": "sale", "action": "stop", "channel": None}
    import pyarrow as pa

    sent.append_log("stops", pa.Table.from_pylist([row], schema=arrow.schema(dataset("stops"))))
    typed = {"first": DS, "last": DS, "campaign": ["sale"]}
    answer = console("USER").post("/replay/resend", data=typed)
    assert "resume it first" in problems(answer.text)["campaign"]


def test_an_empty_home_has_nothing_to_replay(console):
    client = console("USER")
    assert "No night has a plan yet" in client.get("/replay").text
    assert "nothing to send again" in client.get("/replay/resend").text
    assert client.post("/replay", data={}).status_code == 400

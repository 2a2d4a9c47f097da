"""Effects: figures kept over nights, counts by night, reports inside the navigation."""

from __future__ import annotations

import json
import re
from html import unescape

import pyarrow as pa
import pytest

from angelia.asking import over_nights
from angelia.contracts import arrow, dataset
from angelia.lake import numbered
from tests.planned_night import DS
from tests.unit.console.pages.test_plan import problems

BEFORE = "2026-11-13"
ESTIMATE = {"difference": 0.02, "low": 0.01, "high": 0.03, "always_low": -0.01, "always_high": 0.05}
ROW = {
    "scope": "all", "metric": "converted", "n_treated": 900, "n_holdout": 100, "mean_treated": 0.07,
    "mean_holdout": 0.05, "unadjusted": ESTIMATE, "adjusted": None, "total": None, "narrower_pct": None,
    "stands_out": False, "stands_out_once": True, "why_none": None, "looks": [],
}  # fmt: skip
KEPT = {
    "nights": [BEFORE, DS], "observed_until": "2026-11-20", "is_growing": False, "conversion": "purchase",
    "planned_nights": 28, "cap": {}, "not_adjusted": None, "left_out": {}, "effects": [ROW],
    "ratios": [{"scope": "sale", "alarm": True}], "effect": 0.05,
    "power": [{"scope": "all", "metric": "converted", "nights_one_look": 9, "nights_any_look": None}],
}  # fmt: skip


def publish(lake, ds, n_sent=80):
    """Publish a night's effects: a treated arm, two arms of an experiment, and a holdout."""
    zero = dict.fromkeys(("n_converted", "n_active_days", "n_unsubscribed"), 0)
    rows = [
        {"campaign_id": "sale", "arm": arm, "material_id": "shoe", "channel": "fcm", "n_users": 100}
        | {"n_sent": n_sent, "n_opened": 8, **zero}
        for arm in ("treated", "holdout")
    ]
    rows[1] |= {"material_id": None, "channel": None, "n_sent": 0, "n_opened": 0}
    rows += [rows[0] | {"campaign_id": "trial", "arm": arm, "n_opened": n} for arm, n in (("a", 4), ("b", 9))]
    with lake.attempt("campaign_effects", ds=ds) as attempt:
        table = pa.Table.from_pylist(rows, schema=arrow.schema(dataset("campaign_effects")))
        attempt.write(table, "part-0000.parquet")
        attempt.publish()


@pytest.fixture
def counted(console, lake):
    """Return a lake with two nights planned and counted."""
    for ds in (BEFORE, DS):
        publish(lake, ds)
    with lake.attempt("decisions", ds=DS) as attempt:
        attempt.publish(meta={})
    return lake


def test_counts_leave_out_who_was_held_out(console, counted):
    page = console("VIEWER").get("/effects").text
    night = page[page.index('id="night"') :]
    sale = re.search(r'<tr><th scope="row"><a href="/campaigns/sale">.*?</tr>', night, re.DOTALL)[0]
    assert 'data-label="people">100<' in sale
    assert 'data-label="open rate">10.0 %<' in sale
    assert 'data-label="people">300<' in night  # three rows of fcm


def test_experiments_are_those_with_arms(console, counted):
    page = console("VIEWER").get("/effects").text
    part = page[page.index('id="experiments"') : page.index('id="health"')]
    assert "<h3>trial</h3>" in part
    assert "<h3>sale</h3>" not in part


def test_channels_are_shown_over_nights(console, counted):
    publish(counted, "2026-11-15", n_sent=40)
    page = console("VIEWER").get("/effects").text
    assert "fcm: accepted of planned" in page
    assert "40.0 %" in page


def test_intervals_over_nights_with_their_alarm(console, counted):
    numbered.store(counted, over_nights.TOPIC, DS, KEPT)
    page = console("VIEWER").get("/effects").text
    assert "+0.02 [-0.01, +0.05]" in page
    assert "+0.02 [+0.01, +0.03]" in page
    assert "would stand out if looked at once" in page
    assert "The sides of sale are not as large" in page
    assert "9 nights" in page
    assert "not in a year" in page


def test_a_damaged_figure_is_named_and_the_page_stands(console, counted):
    counted.store.create(f"quality/main/{DS}/{over_nights.TOPIC}/0001.json", b"{")
    page = console("VIEWER").get("/effects")
    assert page.status_code == 200
    assert "is not JSON" in page.text


def test_nights_without_a_plan_are_not_compared(console, counted):
    form = {"first": "2031-01-01", "last": "2031-02-01", "conversion": "purchase"}
    answer = console("USER").post("/effects", data=form)
    assert answer.status_code == 400
    assert "None of these nights has a plan." in answer.text
    assert "data-trigger" not in answer.text


def test_other_nights_are_handed_to_their_dag(console, counted):
    typed = {"first": BEFORE, "last": DS, "conversion": "purchase"}
    page = console("USER").post("/effects", data=typed).text
    assert json.loads(unescape(re.search(r'data-conf="([^"]*)"', page)[1])) == typed
    assert 'data-dag="effects_over"' in page
    command = f"angelia effects over --from {BEFORE} --to {DS} --conversion purchase"
    assert command in re.sub("</?span>", "", page)


def test_a_wrong_span_is_named_at_its_field(console, counted):
    typed = {"first": DS, "last": BEFORE, "conversion": "<b>"}
    answer = console("USER").post("/effects", data=typed)
    assert answer.status_code == 400
    assert set(problems(answer.text)) == {"last", "conversion"}
    assert "<b>" not in answer.text[answer.text.index("<form") :]


def test_a_report_stands_inside_the_navigation(console, counted, settings_home):
    folder = settings_home / "reports"
    folder.mkdir()
    links = (
        '<a href="2026-11-14-quality.html#x">q</a> <a href="data_docs/index.html">d</a> <a href="#y">y</a>'
    )
    text = f"<html><header><h1>The night</h1></header>\n<main>\n<p>{links}</p></main></html>"
    (folder / f"{DS}.html").write_text(text)
    page = console("VIEWER").get(f"/effects/report/{DS}").text
    assert "The night" in page
    assert f'href="/effects/quality/{DS}#x"' in page
    assert "<a>d</a>" in page
    assert 'href="#y"' in page
    assert 'aria-label="Console"' in page
    assert f"/effects/report/{DS}" in console("VIEWER").get("/effects").text


@pytest.mark.parametrize("path", ["report/2026-11-14", "quality/2026-11-14", "report/x", "report/..%2Fx"])
def test_a_report_that_is_not_there_is_named(console, counted, path):
    assert console("VIEWER").get(f"/effects/{path}").status_code in (400, 404)


def test_an_empty_home_has_no_effects(console):
    page = console("USER").get("/effects").text
    assert "No nights have been compared yet" in page
    assert "No night has been planned yet" in page

"""Which days' plans are read again each morning."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from angelia import cli
from angelia.contracts.rows import valid_rows
from angelia.errors import NotFound
from angelia.lake import Lake


def commands(dags, ds="2026-11-14", conversion="purchase"):
    return dags["daily_effects"].get_task("reports").python_callable(ds=ds, params={"conversion": conversion})


def plan(lake, ds):
    with lake.attempt("decisions", ds=ds) as attempt:
        attempt.write(valid_rows("decisions", 1), "part-0000.parquet")
        attempt.publish()


@pytest.mark.usefixtures("settings_home")
def test_plans_of_one_two_and_four_days_ago_are_read_again(dags, lake):
    for day in range(8, 15):
        plan(lake, f"2026-11-{day:02d}")
    rendered = commands(dags)
    assert [words[words.index("--ds") + 1] for words in rendered] == [
        "2026-11-13",
        "2026-11-12",
        "2026-11-10",
    ]
    assert rendered[0] == ["angelia", "report", "--ds", "2026-11-13", "--conversion", "purchase", "--json"]


@pytest.mark.usefixtures("settings_home")
def test_a_day_without_a_plan_on_main_is_left_out(dags, lake):
    plan(lake, "2026-11-12")
    plan(Lake(lake.store, "replay-2026-11-13"), "2026-11-13")
    assert [words[3] for words in commands(dags)] == ["2026-11-12"]
    assert commands(dags, ds="2026-11-01") == []


@pytest.mark.usefixtures("settings_home")
def test_the_report_takes_the_words_it_is_given(dags, lake, monkeypatch):
    plan(lake, "2026-11-13")
    [words] = commands(dags, conversion="sign up")
    taken = []

    def run_report(settings, ds, **given):
        taken.append((ds, given["conversion"]))
        raise NotFound("a test needs no page")

    monkeypatch.setattr("angelia.commands.report.run_report", run_report)
    assert words[0] == "angelia"
    with pytest.raises(SystemExit):
        cli.main(words[1:])
    assert taken == [("2026-11-13", "sign up")]


def test_each_report_is_a_task_of_its_own(dags):
    report = dags["daily_effects"].get_task("report")
    assert report.is_mapped
    assert report.upstream_task_ids == {"reports", "mart"}
    assert report.trigger_rule == "all_done"  # a mart that fails holds no page back


@pytest.mark.usefixtures("settings_home")
def test_marts_of_a_fortnight_are_made_again(dags, lake):
    made = dags["daily_effects"].get_task("marts").python_callable
    assert made(ds="2026-11-14", params={"conversion": "purchase"}) == []
    plan(lake, "2026-10-30")
    assert made(ds="2026-11-14", params={"conversion": "purchase"}) == []
    plan(lake, "2026-10-31")
    [words] = made(ds="2026-11-14", params={"conversion": "sign_up"})
    span = ["--from", "2026-10-31", "--to", "2026-11-13", "--conversion", "sign_up", "--json"]
    assert words == ["angelia", "effects", "mart", *span]


@pytest.mark.usefixtures("settings_home")
def test_drift_is_asked_of_days_that_both_have_features(dags, lake):
    compared = dags["daily_effects"].get_task("compared").python_callable
    for day in ("2026-11-14", "2026-11-07"):
        assert compared(ds="2026-11-14", params={"drift_alarm": 0.25}) == []
        with lake.attempt("user_features", ds=day) as attempt:
            attempt.write(valid_rows("user_features", 1, ds=day), "part-0000.parquet")
            attempt.publish()
    assert compared(ds="2026-11-14", params={"drift_alarm": 0}) == []
    [words] = compared(ds="2026-11-14", params={"drift_alarm": 0.05})
    span = ["--ds", "2026-11-14", "--against", "2026-11-07", "--look", "0.05", "--alarm", "0.05", "--json"]
    assert words == ["angelia", "effects", "drift", *span]


def test_an_alarm_of_drift_holds_nothing_up_and_is_sent(dags):
    drift = dags["daily_effects"].get_task("drift")
    assert drift.downstream_task_ids == set()
    assert drift.partial_kwargs["on_failure_callback"]


@pytest.mark.usefixtures("settings_home")
def test_four_weeks_are_drawn_after_the_marts(dags, lake):
    spans, series = (dags["daily_effects"].get_task(name) for name in ("spans", "series"))
    assert spans.python_callable(ds="2026-11-14") == []
    plan(lake, "2026-10-17")
    [words] = spans.python_callable(ds="2026-11-14")
    assert words == ["angelia", "effects", "series", "--from", "2026-10-17", "--to", "2026-11-13", "--json"]
    assert series.upstream_task_ids == {"spans", "mart"}
    assert series.trigger_rule == "all_done"


@pytest.mark.usefixtures("settings_home")
def test_effects_without_a_date_begin_at_the_last_closed_day(dags, lake):
    from angelia.contracts.rows import valid_rows

    with lake.attempt("decisions", ds="2026-11-13") as attempt:
        attempt.write(valid_rows("decisions", 1), "part-0000.parquet")
        attempt.publish()
    reports = dags["daily_effects"].get_task("reports").python_callable
    run = SimpleNamespace(run_after=datetime(2026, 11, 15, 2, tzinfo=UTC))
    [words] = reports(params={"conversion": "purchase"}, dag_run=run)
    assert words[words.index("--ds") + 1] == "2026-11-13"

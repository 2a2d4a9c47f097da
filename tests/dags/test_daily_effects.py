"""Which days' plans are read again each morning."""

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

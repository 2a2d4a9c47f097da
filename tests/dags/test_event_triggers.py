"""Triggers as a DAG: every five minutes, on main, with the time to catch up."""

from tests.dags.given import commands


def test_it_runs_every_five_minutes_one_run_at_a_time(dags):
    dag = dags["event_triggers"]
    assert dag.timetable.expression == "*/5 * * * *"
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_it_triggers_on_main_whatever_started_the_run(dags):
    for how in ("scheduled", "manual", "backfill"):
        words = commands(dags["event_triggers"], run_type=how)["trigger_messages"]
        assert words == ["ANGELIA_BRANCH=main", "angelia", "intake", "triggers", "--json"]


def test_a_run_ends_before_the_runs_limit(dags):
    dag = dags["event_triggers"]
    assert dag.get_task("trigger_messages").execution_timeout < dag.dagrun_timeout

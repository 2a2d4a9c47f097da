"""Triggers as a DAG: every five minutes, on main, with the time to catch up."""

from datetime import timedelta

from tests.dags.given import commands


def test_it_runs_every_five_minutes_one_run_at_a_time(dags):
    dag = dags["event_triggers"]
    assert dag.timetable.expression == "*/5 * * * *"
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_it_triggers_on_main_whatever_started_the_run(dags):
    for how in ("scheduled", "manual", "backfill"):
        words = commands(dags["event_triggers"], run_type=how)["trigger_messages"]
        assert words == ["ANGELIA_BRANCH=main", "angelia", "intake", "triggers", "--json"]


def test_a_topic_is_read_first_and_holds_nothing_up(dags):
    dag = dags["event_triggers"]
    words = commands(dag)["import_events"]
    assert words == ["ANGELIA_BRANCH=main", "angelia", "import", "--events", "--json"]
    assert dag.get_task("trigger_messages").upstream_task_ids == {"import_events"}
    assert dag.get_task("trigger_messages").trigger_rule == "all_done"


def test_a_run_ends_before_the_runs_limit(dags):
    dag = dags["event_triggers"]
    tasks = [dag.get_task(name).execution_timeout for name in ("import_events", "trigger_messages")]
    assert sum(tasks, timedelta()) < dag.dagrun_timeout


def test_a_topic_that_cannot_be_read_fails_the_run(dags):
    dag = dags["event_triggers"]
    # A run is judged by its leaves.
    (leaf,) = [task for task in dag.tasks if not task.downstream_task_ids]
    assert leaf.task_id == "read_and_triggered"
    assert leaf.upstream_task_ids == {"import_events", "trigger_messages"}
    assert leaf.trigger_rule == "all_success"

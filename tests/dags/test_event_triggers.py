"""Triggers by events: every five minutes, one run at a time, never made up for."""

from tests.dags.rendering import commands


def test_one_run_at_a_time_and_none_is_made_up_for(dags):
    dag = dags["event_triggers"]
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert dag.timetable.expression == "*/5 * * * *"


def test_the_command_ends_before_its_run_does(dags):
    dag = dags["event_triggers"]
    assert commands(dag)["trigger_messages"][1:] == ["angelia", "intake", "triggers", "--json"]
    assert dag.get_task("trigger_messages").execution_timeout < dag.dagrun_timeout

"""The intake's dispatcher as a DAG: each run sends what is due and ends."""

from datetime import timedelta

from tests.dags.given import commands


def test_a_run_sends_what_is_due_and_ends(dags):
    words = commands(dags["intake_dispatch"])["dispatch_intake"]
    assert words[1:4] == ["angelia", "intake", "dispatch"]
    assert "--once" in words, "or the task would run until its time is over"


def test_the_quota_is_shared_with_the_pools_workers(dags):
    """A channel's pool has two slots, and this run may send beside both."""
    words = commands(dags["intake_dispatch"])["dispatch_intake"]
    assert words[words.index("--slots") + 1] == "3"


def test_a_run_ends_before_the_runs_limit(dags):
    dag = dags["intake_dispatch"]
    assert dag.get_task("dispatch_intake").execution_timeout < dag.dagrun_timeout
    assert dag.max_active_runs == 1
    assert dag.timetable.expression == "* * * * *"
    assert dag.dagrun_timeout >= timedelta(hours=1)

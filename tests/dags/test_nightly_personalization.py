"""The night: exactly the jobs, on a branch of its own where it is replayed."""

from __future__ import annotations

from pathlib import Path

from spark_jobs import JOBS
from tests.dags.rendering import commands


def test_the_night_is_exactly_the_jobs(dags):
    spark = [task for task in dags["nightly_personalization"].tasks if hasattr(task, "application_args")]
    assert {task.task_id for task in spark} == set(JOBS)
    for task in spark:
        assert Path(task.application).is_file()
        assert Path(task.application).stem == task.task_id


def test_a_backfill_replays_and_skips_no_hour(dags):
    dag = dags["nightly_personalization"]
    replay = commands(dag, run_type="backfill")
    assert replay["check_sources"][0] == "ANGELIA_BRANCH=replay-2026-11-14"
    assert replay["plan_dispatch"][-1] == ""
    scheduled = commands(dag)
    assert scheduled["plan_dispatch"][-1] == "2026-11-15T02:00:30+00:00"
    assert commands(dag, clock="simulated")["plan_dispatch"][-1] == ""
    assert commands(dag, run_type="backfill", mode="plan")["check_plan"][0] == "ANGELIA_BRANCH=main"

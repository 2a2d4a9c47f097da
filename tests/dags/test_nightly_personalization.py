"""The night: its jobs and their arguments, replays, and who decides about a plan held back."""

import importlib
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from spark_jobs import JOBS
from tests.dags.given import commands


def test_the_night_is_exactly_the_jobs(dags):
    spark = [task for task in dags["nightly_personalization"].tasks if hasattr(task, "application_args")]
    assert {task.task_id for task in spark} == set(JOBS)
    for task in spark:
        assert Path(task.application).is_file()
        assert Path(task.application).stem == task.task_id


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_each_jobs_own_parser_takes_its_rendered_arguments(dags, run_type):
    dag = dags["nightly_personalization"]
    for name, words in commands(dag, run_type=run_type).items():
        if words[0] != "spark-submit":
            continue
        args = importlib.import_module(f"spark_jobs.{name}").arg_parser_for_job().parse_args(words[2:])
        assert args.ds == "2026-11-14"
        assert args.branch == ("main" if run_type == "scheduled" else "replay-2026-11-14")
        gates = {
            name for name in dag.get_task(name).get_flat_relative_ids(upstream=True) if name[:6] == "check_"
        }
        assert args.judged
        assert {f"check_{gate}" for gate in args.after} == gates - {"check_plan"}, (
            "emit_manifests asks release"
        )


def test_a_backfill_replays_and_skips_no_hour(dags):
    dag = dags["nightly_personalization"]
    replay = commands(dag, run_type="backfill")
    assert replay["check_sources"][0] == "ANGELIA_BRANCH=replay-2026-11-14"
    assert replay["plan_dispatch"][-1] == ""
    scheduled = commands(dag)
    assert scheduled["plan_dispatch"][-1] == "2026-11-15T02:00:30+00:00"
    assert commands(dag, clock="simulated")["plan_dispatch"][-1] == ""
    assert commands(dag, run_type="backfill", mode="plan")["check_plan"][0] == "ANGELIA_BRANCH=main"


@pytest.mark.parametrize(
    ("verdict", "ask", "run_type", "goes_to"),
    [
        ("open", True, "scheduled", "emit_manifests"),
        ("campaigns", True, "scheduled", "ask_campaigns"),
        ("night", True, "scheduled", "ask_night"),
        ("missing", True, "scheduled", "emit_manifests"),  # nothing to hold back, nothing to ask
        ("campaigns", False, "scheduled", "emit_manifests"),  # held back without a question
        ("campaigns", True, "backfill", "emit_manifests"),
    ],
)
def test_a_person_is_asked_where_the_answer_matters(dags, verdict, ask, run_type, goes_to):
    who_decides = dags["nightly_personalization"].get_task("who_decides").python_callable
    guard = {"verdict": verdict, "held": ["sale"], "breaches": [{"says": "ten times the usual"}]}
    assert (
        who_decides(guard, {"ask": ask, "mode": "auto"}, SimpleNamespace(run_type=run_type), "2026-11-14")
        == goes_to
    )


@pytest.mark.parametrize(("ask", "run_type"), [(False, "scheduled"), (True, "backfill")])
def test_a_night_held_back_with_nobody_to_ask_fails(dags, ask, run_type):
    from airflow.sdk.exceptions import AirflowFailException

    who_decides = dags["nightly_personalization"].get_task("who_decides").python_callable
    guard = {"verdict": "night", "held": [], "breaches": [{"says": "ten times the usual"}]}
    with pytest.raises(AirflowFailException, match="ten times the usual"):
        who_decides(guard, {"ask": ask, "mode": "auto"}, SimpleNamespace(run_type=run_type), "2026-11-14")


def test_the_nights_questions_are_answered_before_its_first_hour(dags):
    """It starts at 02:00 and plans from 04:00; the manifests take their time, too."""
    for task_id in ("ask_night", "ask_campaigns"):
        assert dags["nightly_personalization"].get_task(task_id).response_timeout == timedelta(minutes=90)


def test_manifests_are_emitted_after_a_skipped_question(dags):
    emit = dags["nightly_personalization"].get_task("emit_manifests")
    assert emit.trigger_rule == "none_failed_min_one_success"
    assert emit.upstream_task_ids == {"who_decides", "ask_night", "ask_campaigns"}
    assert emit.downstream_task_ids == set(), "a rejection skips the next task only"
